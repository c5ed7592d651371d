//! TLS towards the nodes, by rustls.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::config::{TlsConfig, TlsVerify};

/// The driver's TLS configuration; `Err` says which file is at fault, and why.
pub(crate) fn client_config(config: &TlsConfig) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("tls: {e}"))?;
    let builder = match (config.verify, &config.ca_file) {
        (TlsVerify::None, _) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Lenient { chain: None, provider })),
        (_, None) => return Err("tls.ca_file is missing".into()),
        (TlsVerify::Full, Some(path)) => builder.with_root_certificates(roots(path)?),
        (TlsVerify::Ca, Some(path)) => {
            let roots = Arc::new(roots(path)?);
            let chain = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|e| format!("tls.ca_file {}: {e}", path.display()))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Lenient {
                chain: Some(chain),
                provider,
            }))
        }
    };
    let client = match (&config.cert_file, &config.key_file) {
        (Some(cert), Some(key)) => {
            let fault = |e: Error| format!("tls.cert_file {}: {e}", cert.display());
            builder.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(fault)?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(client))
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 {
        return Err(format!("{}: no certificate in it can be used", path.display()));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fault = |e: rustls::pki_types::pem::Error| format!("{}: {e}", path.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(fault)?
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    if found.is_empty() {
        return Err(format!("{}: no CERTIFICATE in it", path.display()));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Checks the chain of a certificate, or nothing, but never its name.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let verdict =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            // The name is checked last: the chain has held.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ClientConnection, ServerConfig, ServerConnection};

    use super::*;

    const NODE: &str = "10.1.2.3";

    /// An authority, in files.
    struct Authority {
        dir: tempfile::TempDir,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let cert = params.self_signed(&key).unwrap();
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("ca.pem"), cert.pem()).unwrap();
            Self { dir, issuer: Issuer::new(params, key) }
        }

        fn ca_file(&self) -> PathBuf {
            self.dir.path().join("ca.pem")
        }

        /// Files of a certificate for `name` and of its key.
        fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let cert = params.signed_by(&key, &self.issuer).unwrap();
            let path = |kind| self.dir.path().join(format!("{name}-{kind}.pem"));
            std::fs::write(path("cert"), cert.pem()).unwrap();
            std::fs::write(path("key"), key.serialize_pem()).unwrap();
            (path("cert"), path("key"))
        }

        fn config(&self, verify: TlsVerify) -> TlsConfig {
            TlsConfig { ca_file: Some(self.ca_file()), verify, ..TlsConfig::default() }
        }
    }

    /// A node with a certificate for `name`; with `clients`, it asks for theirs.
    fn node(authority: &Authority, name: &str, clients: Option<&Authority>) -> Arc<ServerConfig> {
        let (cert, key) = authority.issue(name);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(roots(&clients.ca_file()).unwrap());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (cert, key) = (certificates(&cert).unwrap(), private_key(&key).unwrap());
        Arc::new(builder.with_single_cert(cert, key).unwrap())
    }

    /// Both ends of a connection to [`NODE`], as the driver opens it.
    fn handshake(client: &TlsConfig, server: Arc<ServerConfig>) -> Result<(), Error> {
        let address = ServerName::IpAddress(NODE.parse::<std::net::IpAddr>().unwrap().into());
        let mut client = ClientConnection::new(client_config(client).unwrap(), address)?;
        let mut server = ServerConnection::new(server)?;
        let mut wire = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
            wire.clear();
        }
        Ok(())
    }

    #[test]
    fn full_takes_a_certificate_for_the_address_and_no_other() {
        let authority = Authority::new();
        let config = authority.config(TlsVerify::Full);
        handshake(&config, node(&authority, NODE, None)).unwrap();
        for name in ["10.1.2.4", "node.example"] {
            assert!(handshake(&config, node(&authority, name, None)).is_err(), "{name}");
        }
    }

    #[test]
    fn ca_takes_every_name_of_the_authority_and_nobody_else_s() {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let config = authority.config(TlsVerify::Ca);
        for name in [NODE, "10.1.2.4", "node.example"] {
            handshake(&config, node(&authority, name, None)).unwrap();
            assert!(handshake(&config, node(&stranger, name, None)).is_err(), "{name}");
        }
    }

    #[test]
    fn none_takes_everybody() {
        let config = TlsConfig { verify: TlsVerify::None, ..TlsConfig::default() };
        handshake(&config, node(&Authority::new(), "node.example", None)).unwrap();
    }

    #[test]
    fn a_node_that_asks_for_a_certificate_is_shown_it() {
        let authority = Authority::new();
        let config = authority.config(TlsVerify::Full);
        let asking = node(&authority, NODE, Some(&authority));
        assert!(handshake(&config, asking.clone()).is_err());
        let (cert, key) = authority.issue("weir");
        let config = TlsConfig { cert_file: Some(cert), key_file: Some(key), ..config };
        handshake(&config, asking).unwrap();
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let config = TlsConfig { ca_file: Some("no/such/ca.pem".into()), ..TlsConfig::default() };
        assert!(client_config(&config).unwrap_err().contains("no/such/ca.pem"));
    }

    #[test]
    fn without_an_authority_only_none_is_accepted() {
        let config = TlsConfig::default();
        assert!(client_config(&config).unwrap_err().contains("ca_file"));
        assert!(client_config(&TlsConfig { verify: TlsVerify::None, ..config }).is_ok());
    }
}
