//! The links of one purpose: one for each IP version and binding that is in use.

use std::{collections::HashMap, sync::Arc, time::Instant};

use rustix::event::PollFd;

use super::{
    echoes::{Echoes, LinkId},
    link::BatchLink,
};
use crate::{
    domain::probe::{Binding, IpVersion, SessionKey},
    prober::{board::Sockets, slot::SocketPurpose},
};

/// The links of one purpose.
pub(super) struct LinkSet {
    purpose: SocketPurpose,
    sockets: Arc<Sockets>,
    links: Vec<Option<BatchLink>>,
    ids: HashMap<(IpVersion, Arc<Binding>), LinkId>,
}

impl LinkSet {
    /// Its sockets report their status in `sockets`.
    pub(super) fn new(purpose: SocketPurpose, sockets: Arc<Sockets>) -> Self {
        Self { purpose, sockets, links: Vec::new(), ids: HashMap::new() }
    }

    /// Returns the link of a new session, and creates it if it does not exist.
    pub(super) fn acquire(&mut self, key: &SessionKey) -> LinkId {
        let version = IpVersion::from(key.address);
        let (links, sockets, purpose) = (&mut self.links, &self.sockets, self.purpose);
        let id = *self.ids.entry((version, Arc::clone(&key.binding))).or_insert_with(|| {
            let id = links.iter().position(Option::is_none).unwrap_or(links.len());
            let link = BatchLink::new(id, version, &key.binding, purpose, sockets);
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

    /// Returns the link of a session that has ended. [`close_unused`](Self::close_unused) closes it.
    pub(super) fn release(&mut self, key: &SessionKey) -> Option<LinkId> {
        let &id = self.ids.get(&(IpVersion::from(key.address), Arc::clone(&key.binding)))?;
        if let Some(link) = &mut self.links[id] {
            link.sessions -= 1;
        }
        Some(id)
    }

    /// Closes links without sessions.
    pub(super) fn close_unused(&mut self, mut forget: impl FnMut(LinkId)) {
        let links = &mut self.links;
        self.ids.retain(|_, &mut id| {
            let used = links[id].as_ref().is_some_and(|link| link.sessions > 0);
            if !used {
                links[id] = None;
                forget(id);
            }
            used
        });
    }

    pub(super) fn get(&mut self, id: LinkId) -> Option<&mut BatchLink> {
        self.links.get_mut(id)?.as_mut()
    }

    /// Reads all packets that have arrived.
    pub(super) fn read(&mut self, echoes: &mut impl Echoes, now: Instant) {
        for link in self.links.iter_mut().flatten() {
            link.read(echoes, now);
        }
    }

    /// Reads the ICMP errors of datagram sockets.
    pub(super) fn read_errors(&mut self, echoes: &mut impl Echoes) {
        for link in self.links.iter_mut().flatten() {
            link.read_errors(echoes);
        }
    }

    /// Adds the open sockets to a poll.
    pub(super) fn add_to_poll<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        for link in self.links.iter().flatten() {
            link.add_to_poll(polled);
        }
    }
}
