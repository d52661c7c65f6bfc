//! Which tunnels somebody wants to see.

use web_toolkit::text::shown;

use super::{concern::Concern, row::Row};
use crate::domain::{tunnel::TunnelType, verdict::Verdict};

/// A choice among verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Every verdict that asks somebody to look.
    Attention,
    Verdict(Verdict),
}

impl Wanted {
    pub fn admits(self, verdict: Verdict) -> bool {
        match self {
            Self::Attention => Concern::of(verdict).needs_attention(),
            Self::Verdict(wanted) => wanted == verdict,
        }
    }
}

/// What a tunnel has to be like. Nothing set admits every tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    pub account: Option<String>,
    pub tunnel_type: Option<TunnelType>,
    pub verdict: Option<Wanted>,
    /// Words that name, description, site, id or an address of the tunnel hold, each somewhere, in any case.
    pub search: String,
}

impl Filter {
    pub fn admits(&self, row: &Row<'_>) -> bool {
        self.account.as_ref().is_none_or(|account| row.account.as_str() == account)
            && self.tunnel_type.is_none_or(|wanted| row.tunnel().tunnel_type() == wanted)
            && self.verdict.is_none_or(|wanted| wanted.admits(row.verdict()))
            && self.finds(row)
    }

    fn finds(&self, row: &Row<'_>) -> bool {
        let mut words = self.search.split_whitespace().peekable();
        if words.peek().is_none() {
            return true;
        }
        let tunnel = row.tunnel();
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            shown(&tunnel.name),
            shown(&tunnel.description),
            shown(row.entry.site.as_deref().unwrap_or_default()),
            tunnel.id,
            tunnel.customer_endpoint,
            tunnel.cloudflare_endpoint,
            tunnel.interface_address,
            tunnel.interface_address6
        )
        .to_lowercase();
        words.all(|word| text.contains(&word.to_lowercase()))
    }
}
