//! Certificates for servers of the lab, signed by an authority of its own.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// It could not be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// An authority, and the directory in which it leaves what it makes.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Files of a server's certificate, in PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How long a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Beyond any test.
    Long,
    /// It is good, and ends in a few days.
    Short,
    /// It ended years ago.
    Expired,
}

impl Authority {
    /// An authority that leaves its files in `directory`, which is made.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn new(directory: &Path) -> Result<Self, CertificateError> {
        fs::create_dir_all(directory).map_err(|source| CertificateError::File {
            path: directory.to_owned(),
            source,
        })?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = Self {
            directory: directory.to_owned(),
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
        };
        authority.write("ca.pem", &authority.issuer.pem())?;
        Ok(authority)
    }

    /// The file of the authority's own certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// A certificate for a server of these names and addresses.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn issue(&self, names: &[&str], validity: Validity) -> Result<Certificate, CertificateError> {
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = match validity {
            Validity::Long => date_time_ymd(2100, 1, 1),
            Validity::Short => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                date_time_ymd(1970, 1, 1) + now + Duration::from_secs(5 * 86_400)
            }
            Validity::Expired => date_time_ymd(2021, 1, 1),
        };
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let name = names.first().map_or("server", |name| *name);
        Ok(Certificate {
            certificate: self.write(&format!("{name}.pem"), &certificate.pem())?,
            key: self.write(&format!("{name}.key"), &key.serialize_pem())?,
        })
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf, CertificateError> {
        let path = self.directory.join(name);
        match fs::write(&path, content) {
            Ok(()) => Ok(path),
            Err(source) => Err(CertificateError::File { path, source }),
        }
    }
}
