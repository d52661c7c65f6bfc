//! The client of a hub: it reads the inventory that another exporter serves (`/api/v1/inventory`), instead of the lists
//! of the Cloudflare API.
//!
//! Every request has a timeout and every body a size limit. Whatever a hub answers is an inventory or a [`HubFailure`];
//! nothing that a hub does ends this program.

pub mod ages;
pub mod client;
pub mod document;
pub mod failure;
pub mod metrics;
pub mod settings;

pub use self::{
    ages::{EdgeAge, ListAge, ReplyTimes},
    client::{HubClient, HubReply},
    document::{HubList, Inventory, decode},
    failure::HubFailure,
    metrics::InventoryMetrics,
    settings::{HubCredentials, InventorySettings, TlsFiles},
};
