//! The loop of the batch engine. It waits for packets, deadlines and commands; it reads the sockets before and between
//! sends.

use std::{
    sync::{Arc, mpsc::TryRecvError},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use web_toolkit::clock::{self, Moment};

use super::{
    commands::{CommandReceiver, EngineCommand},
    echoes::Outgoing,
    links::LinkSet,
    sizes::SizeTable,
    socket::SEND_BATCH,
    table::Table,
};
use crate::{
    domain::probe::SessionKey,
    prober::{board::Sockets, session::SessionContext, slot::SocketPurpose},
};

/// Maximum number of sends before commands are read again.
const MAX_SENDS: usize = 256;

/// Maximum number of commands before the sockets are read again.
const MAX_COMMANDS: usize = 128;

/// State of the engine's thread.
pub(super) struct Worker {
    context: SessionContext,
    commands: CommandReceiver,
    table: Table,
    links: LinkSet,
    /// The watch of path MTUs, with links of its own.
    sizes: SizeTable,
    size_links: LinkSet,
    /// Reused memory.
    due: Vec<Outgoing>,
}

impl Worker {
    pub(super) fn new(context: SessionContext, sockets: Arc<Sockets>, commands: CommandReceiver) -> Self {
        let (table, sizes) = (Table::new(context.clone()), SizeTable::new(context.clone()));
        let purpose = SocketPurpose::PathMtu { identifier: sizes.identifier() };
        Self {
            context,
            commands,
            table,
            links: LinkSet::new(SocketPurpose::Echoes, Arc::clone(&sockets)),
            sizes,
            size_links: LinkSet::new(purpose, sockets),
            due: Vec::with_capacity(SEND_BATCH),
        }
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
                Ok(command) => self.handle(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        // There may be more.
        self.commands.wake();
        true
    }

    fn handle(&mut self, command: EngineCommand) {
        match command {
            EngineCommand::Start(key, session, tally) => {
                let link = self.links.acquire(&key);
                self.table.start(link, key.address, *session, tally, clock::now().instant);
            }
            EngineCommand::Stop(key) => {
                if let Some(link) = self.links.release(&key) {
                    self.table.stop(link, key.address);
                }
            }
            EngineCommand::StartMtu(watch) => {
                let link = self.size_links.acquire(&watch.key);
                self.sizes.start(link, watch.key.address, watch.limits, watch.first, watch.tally);
            }
            EngineCommand::StopMtu(key) => self.stop_mtu(&key),
            EngineCommand::CloseUnused => {
                self.links.close_unused(|link| self.table.forget_link(link));
                self.size_links.close_unused(|_| {});
            }
        }
    }

    fn stop_mtu(&mut self, key: &SessionKey) {
        if let Some(link) = self.size_links.release(key) {
            self.sizes.stop(link, key.address);
        }
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
            self.links.read(&mut self.table, now.instant);
            self.size_links.read(&mut self.sizes, now.instant);
            let any_sizes = self.send_sizes(now);
            self.due.clear();
            let table = &mut self.table;
            self.due.extend(std::iter::from_fn(|| table.next_echo(now)).take(SEND_BATCH));
            self.renew_identifiers();
            if self.due.is_empty() && !any_sizes {
                return;
            }
            self.send();
        }
    }

    fn send(&mut self) {
        let timeout = self.timeout();
        self.due.sort_unstable_by_key(|echo| echo.link);
        for echoes in self.due.chunk_by(|a, b| a.link == b.link) {
            if let Some(link) = self.links.get(echoes[0].link) {
                link.send(echoes, &mut self.table, timeout);
            }
        }
    }

    /// Sends one round for the path MTU of an address. Returns whether there was one. The sockets have been read after
    /// `now`.
    fn send_sizes(&mut self, now: Moment) -> bool {
        let Some(packets) = self.sizes.next_round(now) else { return false };
        let timeout = self.timeout();
        if let Some(link) = self.size_links.get(packets[0].link) {
            link.send(&packets, &mut self.sizes, timeout);
        }
        true
    }

    fn renew_identifiers(&mut self) {
        let timeout = self.timeout();
        for id in self.table.take_renewals() {
            if let Some(link) = self.links.get(id) {
                link.renew(clock::now().instant, timeout);
            }
        }
    }

    fn timeout(&self) -> Duration {
        self.context.settings.borrow().timing.timeout()
    }

    /// Waits until a session has to be looked at, a packet arrives, or a command is sent.
    fn wait(&mut self) {
        let due = self.table.next_event().into_iter().chain(self.sizes.next_event()).min();
        let mut polled = Vec::with_capacity(8);
        polled.push(PollFd::new(&self.commands, PollFlags::IN));
        self.links.add_to_poll(&mut polled);
        self.size_links.add_to_poll(&mut polled);
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
            self.links.read_errors(&mut self.table);
            self.size_links.read_errors(&mut self.sizes);
        }
    }
}
