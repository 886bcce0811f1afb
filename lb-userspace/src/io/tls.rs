//! TLS with rustls: whom to trust, and the handshake.

use std::{
    fs::File,
    io::{self, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Most bytes of a file of certificates.
const MOST: u64 = 4 << 20;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file of certificates cannot be read.
    #[error("cannot read the certificates in {}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The system has none.
    #[error("this system has no certificates to trust: install ca-certificates, or name a `ca_file`")]
    NoRoots,
    /// The name cannot stand in a certificate.
    #[error("`{0}` cannot be the name of a TLS server")]
    Name(String),
    /// The library does not take the settings.
    #[error("TLS: {0}")]
    Settings(#[from] rustls::Error),
    /// The handshake failed.
    #[error("TLS handshake: {0}")]
    Handshake(#[source] io::Error),
}

/// The one provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

/// The certificates in a PEM file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |what: String| TlsError::File {
        path: path.to_owned(),
        what,
    };
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let found = CertificateDer::pem_reader_iter(BufReader::new(file.take(MOST)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("there is none".to_owned()));
    }
    Ok(found)
}

/// Whom to trust: those in `ca_file`, or whom the system trusts.
pub(crate) fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
        }
        None => {
            // Single ones that cannot be read are the system's affair.
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(TlsError::NoRoots);
            }
        }
    }
    Ok(roots)
}

/// A client that verifies servers against `roots`.
pub(crate) fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    Ok(Arc::new(
        builder.with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// The handshake, with the server of this name.
pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ClientConfig>,
    name: &str,
    stream: S,
) -> Result<TlsStream<S>, TlsError> {
    let server = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
    let connected = TlsConnector::from(config).connect(server, stream).await;
    connected.map_err(TlsError::Handshake)
}
