//! Checkpoints and proofs.

use marrowline_api::errors;
use marrowline_api::v1::transparency_service_server::TransparencyService;
use marrowline_api::v1::{
    GetCheckpointRequest, GetCheckpointResponse, GetConsistencyProofRequest, GetConsistencyProofResponse,
    GetInclusionProofRequest, GetInclusionProofResponse, ListLogKeysRequest, ListLogKeysResponse, LogKeyView,
};
use marrowline_ledger::{KnownLogKey, Ledger};
use tonic::{Request, Response, Status};

use crate::auth::Auth;

/// The service.
pub struct Service {
    ledger: Ledger,
    auth: Auth,
}

impl Service {
    /// Of this ledger.
    pub fn new(ledger: Ledger, auth: Auth) -> Service {
        Service { ledger, auth }
    }
}

#[tonic::async_trait]
impl TransparencyService for Service {
    async fn get_checkpoint(&self, request: Request<GetCheckpointRequest>) -> Result<Response<GetCheckpointResponse>, Status> {
        self.auth.person(request.metadata())?;
        Ok(Response::new(GetCheckpointResponse { checkpoint: self.ledger.checkpoint().note.clone() }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        self.auth.person(request.metadata())?;
        let index = request.get_ref().index;
        let checkpoint = self.ledger.checkpoint();
        if index >= checkpoint.size {
            return Err(errors::not_found("leaf", &index.to_string()));
        }
        let receipt = self.ledger.receipt(index, &checkpoint).map_err(|e| errors::store(&e))?;
        Ok(Response::new(GetInclusionProofResponse { tlog_proof: receipt.tlog_proof, leaf: receipt.leaf }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        self.auth.person(request.metadata())?;
        let checkpoint = self.ledger.checkpoint();
        let old = request.get_ref().old_size;
        let new = match request.get_ref().new_size {
            0 => checkpoint.size,
            size => size,
        };
        if old == 0 || old > new || new > checkpoint.size {
            return Err(errors::bad_field(
                "SIZE_OUT_OF_RANGE",
                "old_size",
                &format!("{old} to {new}"),
                &format!("1 <= old_size <= new_size <= {}", checkpoint.size),
            ));
        }
        let hashes = self.ledger.consistency(old, new).map_err(|e| errors::store(&e))?;
        Ok(Response::new(GetConsistencyProofResponse {
            hashes: hashes.iter().map(|h| h.to_vec()).collect(),
            new_size: new,
            checkpoint: checkpoint.note.clone(),
        }))
    }
    async fn list_log_keys(&self, request: Request<ListLogKeysRequest>) -> Result<Response<ListLogKeysResponse>, Status> {
        self.auth.person(request.metadata())?;
        let view = |known: KnownLogKey| {
            let handover =
                known.handover.map(|checkpoint| self.ledger.receipt(known.key.since_index, &checkpoint)).transpose()?;
            Ok(LogKeyView {
                public_key: known.key.public_key.to_vec(),
                record_id: known.key.record_id.0.to_vec(),
                since_index: known.key.since_index,
                handover: handover.map(Into::into),
            })
        };
        let keys = self.ledger.log_keys().and_then(|keys| keys.into_iter().map(view).collect());
        Ok(Response::new(ListLogKeysResponse { keys: keys.map_err(|e| errors::store(&e))? }))
    }
}
