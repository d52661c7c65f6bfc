//! The list operations of the client.

use std::sync::Arc;

use reqwest::Response;
use tokio::{
    task::{spawn_blocking, yield_now},
    time::timeout,
};
use web_toolkit::clock;

use super::{
    ApiCredentials, Client, DECODING, MAX_PIECE_SIZE, RequestAccount,
    decode::{ListDecoder, Members, TunnelListing},
    error::ApiFailure,
    fields::UnknownValues,
    next_chunk, read_failure,
    routes::RouteListing,
};
use crate::domain::{dataset::FailureReason, inventory::InventoryEntry, tunnel::TunnelType};

impl Client {
    /// Lists the tunnels of one type and counts the request: `GET
    /// /accounts/{account_id}/magic/{gre_tunnels|ipsec_tunnels|cf_interconnects}`. `known` is the last good list.
    ///
    /// # Errors
    /// [`ApiFailure`] if the request fails, the response is not a valid list, or the list is not decoded within the
    /// timeout.
    pub async fn list_tunnels(
        &self,
        credentials: &ApiCredentials,
        account: RequestAccount<'_>,
        tunnel_type: TunnelType,
        known: Arc<[InventoryEntry]>,
    ) -> Result<TunnelListing, ApiFailure> {
        let decoder = ListDecoder::tunnels(tunnel_type, known);
        self.list(credentials, account, decoder, |listing| &listing.unknown).await
    }

    /// Lists the static routes and counts the request: `GET /accounts/{account_id}/magic/routes`. `had_routes`: whether
    /// the last good list had routes.
    ///
    /// # Errors
    /// As [`list_tunnels`](Self::list_tunnels).
    pub async fn list_routes(
        &self,
        credentials: &ApiCredentials,
        account: RequestAccount<'_>,
        had_routes: bool,
    ) -> Result<RouteListing, ApiFailure> {
        self.list(credentials, account, ListDecoder::routes(had_routes), |listing| &listing.unknown).await
    }

    async fn list<M: Members>(
        &self,
        credentials: &ApiCredentials,
        account: RequestAccount<'_>,
        decoder: ListDecoder<M>,
        unknown: fn(&M::Listing) -> &UnknownValues,
    ) -> Result<M::Listing, ApiFailure> {
        let (started, kind) = (clock::now(), decoder.kind());
        let dataset = kind.dataset();
        let url = self.url.join(["accounts", account.id, "magic", kind.path_segment()]);
        let mut status = None;
        let result = timeout(self.timeout, self.request_list(credentials, url, decoder, &mut status))
            .await
            .unwrap_or_else(|_| Err(ApiFailure::timed_out(&self.url)));
        let result = result.map_err(|failure| ApiFailure { status, ..failure });
        self.metrics.count_request(account.name, dataset, status, clock::now().since(started));
        match &result {
            Ok(listing) => unknown(listing).iter().for_each(|(&field, &n)| self.metrics.count_unknown_values(field, n)),
            Err(failure) => self.metrics.count_failure(account.name, dataset, failure.reason),
        }
        result
    }

    async fn request_list<M: Members>(
        &self,
        credentials: &ApiCredentials,
        url: reqwest::Url,
        decoder: ListDecoder<M>,
        status: &mut Option<u16>,
    ) -> Result<M::Listing, ApiFailure> {
        let response = self.send(credentials, url).await?;
        let code = response.status().as_u16();
        *status = Some(code);
        if !response.status().is_success() {
            return Err(read_failure(response).await);
        }
        let decoder = read_list(response, decoder).await?;
        // Sorting 100,000 tunnels takes tens of milliseconds and would block the other tasks of the thread.
        spawn_blocking(move || decoder.finish(code))
            .await
            .unwrap_or_else(|_| Err(ApiFailure::new(FailureReason::Decode)))
    }
}

/// Decodes a list while it arrives. A timeout interrupts it between two pieces.
async fn read_list<M: Members>(
    mut response: Response,
    mut decoder: ListDecoder<M>,
) -> Result<ListDecoder<M>, ApiFailure> {
    while let Some(chunk) = next_chunk(&mut response).await? {
        for piece in chunk.chunks(MAX_PIECE_SIZE) {
            let turn = DECODING.lock().await;
            decoder.push(piece).map_err(ApiFailure::new)?;
            drop(turn);
            yield_now().await;
        }
    }
    Ok(decoder)
}
