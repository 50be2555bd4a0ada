//! Checkpoints and proofs.

use marrowline_api::errors;
use marrowline_api::v1::transparency_service_server::TransparencyService;
use marrowline_api::v1::{
    GetCheckpointRequest, GetCheckpointResponse, GetConsistencyProofRequest, GetConsistencyProofResponse,
    GetInclusionProofRequest, GetInclusionProofResponse,
};
use marrowline_ledger::Ledger;
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
}
