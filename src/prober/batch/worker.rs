//! The loop of the batch engine. It waits for packets, deadlines and commands; it reads the sockets before and between
//! sends.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc::TryRecvError},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use web_toolkit::clock;

use super::{
    commands::{CommandReceiver, EngineCommand},
    link::BatchLink,
    socket::SEND_BATCH,
    table::{LinkId, Outgoing, Table},
};
use crate::{
    domain::probe::{Binding, IpVersion, SessionKey},
    prober::{board::Sockets, session::SessionContext},
};

/// Maximum number of sends before commands are read again.
const MAX_SENDS: usize = 256;

/// Maximum number of commands before the sockets are read again.
const MAX_COMMANDS: usize = 128;

/// State of the engine's thread.
pub(super) struct Worker {
    context: SessionContext,
    sockets: Arc<Sockets>,
    commands: CommandReceiver,
    table: Table,
    links: Vec<Option<BatchLink>>,
    ids: HashMap<(IpVersion, Arc<Binding>), LinkId>,
    /// Reused memory.
    due: Vec<Outgoing>,
}

impl Worker {
    pub(super) fn new(context: SessionContext, sockets: Arc<Sockets>, commands: CommandReceiver) -> Self {
        let table = Table::new(context.clone());
        let (links, ids, due) = (Vec::new(), HashMap::new(), Vec::with_capacity(SEND_BATCH));
        Self { context, sockets, commands, table, links, ids, due }
    }

    /// Runs until the sender of the commands is gone.
    pub(super) fn run(mut self) {
        while self.take_commands() {
            self.follow_settings();
            self.work();
            self.wait();
        }
    }

    /// Returns `false` if the sender of the commands is gone.
    fn take_commands(&mut self) -> bool {
        for _ in 0..MAX_COMMANDS {
            match self.commands.next() {
                Ok(EngineCommand::Start(key, session, tally)) => {
                    let link = self.link(&key);
                    self.table.start(link, key.address, *session, tally, clock::now().instant);
                }
                Ok(EngineCommand::Stop(key)) => self.stop(key),
                Ok(EngineCommand::CloseUnused) => self.close_unused_links(),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        // There may be more.
        self.commands.wake();
        true
    }

    /// Returns the link of a new session.
    fn link(&mut self, key: &SessionKey) -> LinkId {
        let version = IpVersion::from(key.address);
        let (links, sockets) = (&mut self.links, &self.sockets);
        let id = *self.ids.entry((version, Arc::clone(&key.binding))).or_insert_with(|| {
            let id = links.iter().position(Option::is_none).unwrap_or(links.len());
            let link = BatchLink::new(id, version, &key.binding, sockets);
            if id == links.len() {
                links.push(Some(link));
            } else {
                links[id] = Some(link);
            }
            id
        });
        if let Some(link) = &mut self.links[id] {
            link.sessions += 1;
        }
        id
    }

    fn stop(&mut self, key: SessionKey) {
        let Some(&id) = self.ids.get(&(IpVersion::from(key.address), key.binding)) else { return };
        self.table.stop(id, key.address);
        if let Some(link) = &mut self.links[id] {
            link.sessions -= 1;
        }
    }

    fn close_unused_links(&mut self) {
        let (links, table) = (&mut self.links, &mut self.table);
        self.ids.retain(|_, &mut id| {
            let used = links[id].as_ref().is_some_and(|link| link.sessions > 0);
            if !used {
                links[id] = None;
                table.forget_link(id);
            }
            used
        });
    }

    fn follow_settings(&mut self) {
        if self.context.settings.has_changed().unwrap_or(false) {
            let settings = *self.context.settings.borrow_and_update();
            self.table.set_settings(settings, clock::now().instant);
        }
    }

    /// Reads and sends until nothing is due.
    fn work(&mut self) {
        for _ in 0..MAX_SENDS {
            // Deadlines until now may be judged, because everything that has arrived until now is read first.
            let now = clock::now();
            for link in self.links.iter_mut().flatten() {
                link.read(&mut self.table, now.instant);
            }
            self.due.clear();
            let table = &mut self.table;
            self.due.extend(std::iter::from_fn(|| table.next_echo(now)).take(SEND_BATCH));
            self.renew_identifiers();
            if self.due.is_empty() {
                return;
            }
            self.send();
        }
    }

    fn send(&mut self) {
        let timeout = self.timeout();
        self.due.sort_unstable_by_key(|echo| echo.link);
        for echoes in self.due.chunk_by(|a, b| a.link == b.link) {
            if let Some(link) = &mut self.links[echoes[0].link] {
                link.send(echoes, &mut self.table, timeout);
            }
        }
    }

    fn renew_identifiers(&mut self) {
        let timeout = self.timeout();
        for id in self.table.take_renewals() {
            if let Some(Some(link)) = self.links.get_mut(id) {
                link.renew(clock::now().instant, timeout);
            }
        }
    }

    fn timeout(&self) -> Duration {
        self.context.settings.borrow().timing.timeout()
    }

    /// Waits until a session has to be looked at, a packet arrives, or a command is sent.
    fn wait(&mut self) {
        let due = self.table.next_event();
        let mut polled = Vec::with_capacity(self.links.len() + 1);
        polled.push(PollFd::new(&self.commands, PollFlags::IN));
        for link in self.links.iter().flatten() {
            link.add_to_poll(&mut polled);
        }
        let timeout = due.map(|due| due.saturating_duration_since(clock::now().instant));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // An interruption by a signal does no harm: nothing is due.
        let _ = poll(&mut polled, timeout.as_ref());
        let is_woken = !polled[0].revents().is_empty();
        let has_errors = polled.iter().any(|socket| socket.revents().contains(PollFlags::ERR));
        if is_woken {
            self.commands.reset();
        }
        if has_errors {
            for link in self.links.iter_mut().flatten() {
                link.read_errors(&mut self.table);
            }
        }
    }
}
