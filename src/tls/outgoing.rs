//! Connections that the gateway opens itself: whom it believes, and what it shows where it is asked to.
//!
//! Refuses to know what goes over them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::files::{CERTIFICATE_FILE_BYTES_MAX, FileError, read_key, read_objects};

#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// Settings of connections to servers under `roots`; with `identity`, a certificate file and its key, mutual.
pub fn client_config(roots: &[PathBuf], identity: Option<(&Path, &Path)>) -> Result<ClientConfig, OutgoingError> {
    let mut believed = RootCertStore::empty();
    for path in roots {
        for certificate in read_certificates(path)? {
            believed.add(certificate)?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(believed);
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder.with_client_auth_cert(read_certificates(certificate)?, read_key(key)?)?,
    })
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let mut found = Vec::new();
    read_objects(path, CERTIFICATE_FILE_BYTES_MAX, &mut found)?;
    Ok(found.into_iter().map(|(_, certificate)| certificate).collect())
}
