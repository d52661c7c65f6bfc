//! The pages for people: what is broken, first; then why; then everything else.
//!
//! They are drawn from one [`Scene`], hold no script and no style themselves, and work without either. Text from outside is escaped by
//! the templates, and shortened and freed of control characters by `shown`.

mod evidence;
mod facts;
mod front;
mod graph;
mod headline;
mod notices;
mod probes;
mod problem;
mod runbooks;
mod shell;
mod status;
mod table;
mod time;
mod tunnel;
mod words;

pub(super) use self::{
    front::front,
    problem::{missing, refused},
    runbooks::runbooks,
    shell::Document,
    tunnel::tunnel,
};
