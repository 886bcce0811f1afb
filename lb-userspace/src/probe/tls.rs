//! It completes a TLS handshake.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

use super::{peer::Peer, runner::Found, tcp, thread::Cache};
use crate::{
    core::health::{Tls, Trust},
    io::tls,
};

const DAY: i64 = 86_400;

/// TLS clients that are set up already.
#[derive(Debug, Default)]
pub(super) struct Clients(Cache<(Trust, Vec<Vec<u8>>), Arc<ClientConfig>>);

impl Clients {
    /// The handshake; and a warning when the certificate ends soon.
    pub(super) async fn connect(
        &self,
        peer: &Peer,
        settings: &Tls,
        protocols: &[&[u8]],
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<String>), String> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let key = (settings.trust.clone(), protocols);
        let config = self
            .0
            .get(&key, || client(&key.0, &key.1))
            .map_err(|error| error.to_string())?;
        let name = settings.name.clone().unwrap_or_else(|| peer.name.to_string());
        let stream = tls::connect(config, &name, stream)
            .await
            .map_err(|error| error.to_string())?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let warning = match certificate {
            Some(certificate) => ends(certificate, settings.warn_days)?,
            None => None,
        };
        Ok((stream, warning))
    }
}

pub(super) async fn probe(peer: &Peer, settings: &Tls, clients: &Clients) -> Result<Found, String> {
    let stream = tcp::connect(peer).await?;
    let (stream, warning) = clients.connect(peer, settings, &[], stream).await?;
    let _ = stream.get_ref().0.set_zero_linger();
    Ok(Found {
        warning,
        ..Found::WELL
    })
}

fn client(trust: &Trust, protocols: &[Vec<u8>]) -> Result<Arc<ClientConfig>, tls::TlsError> {
    let mut config = match trust {
        Trust::System => (*tls::client(tls::roots(None)?)?).clone(),
        Trust::File(path) => (*tls::client(tls::roots(Some(path))?)?).clone(),
        Trust::Pin(digest) => lenient(Some(*digest))?,
        Trust::Anybody => lenient(None)?,
    };
    config.alpn_protocols = protocols.to_vec();
    Ok(Arc::new(config))
}

fn lenient(pin: Option<[u8; 32]>) -> Result<ClientConfig, tls::TlsError> {
    let builder =
        ClientConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions()?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Lenient { pin }))
        .with_no_client_auth())
}

/// When the certificate ends, if that is soon; an error if it has ended already.
fn ends(certificate: &CertificateDer<'_>, warn_days: u32) -> Result<Option<String>, String> {
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|error| format!("the certificate: {error}"))?;
    let end = parsed.validity().not_after;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let left = end.timestamp() - i64::try_from(now).unwrap_or(i64::MAX);
    if left < 0 {
        return Err(format!("the certificate ended on {end}"));
    }
    Ok((left < i64::from(warn_days) * DAY)
        .then(|| format!("the certificate ends in {} days, on {end}", left / DAY)))
}

/// Does not ask who vouches for a certificate, but that its holder is at the other end, and, with a pin, that it is this
/// one.
#[derive(Debug)]
struct Lenient {
    pin: Option<[u8; 32]>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.pin {
            Some(pin) if Sha256::digest(certificate)[..] != pin[..] => Err(Error::InvalidCertificate(
                CertificateError::ApplicationVerificationFailure,
            )),
            Some(_) | None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &tls::provider().signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &tls::provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
