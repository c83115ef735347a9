//! What a face needs to tell who is calling. One for the whole gateway.

use std::sync::Arc;

use super::oidc::Bearer;
use super::structures::Structures;
use super::vihf;

#[derive(Clone)]
pub struct Admission {
    pub structures: Structures,
    pub vihf: Arc<vihf::Verifier>,
    /// Of access tokens, where configuration names their provider.
    pub bearer: Option<Arc<Bearer>>,
}
