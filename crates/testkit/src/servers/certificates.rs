//! Certificates for servers that speak TLS, made by the `openssl` program.

use std::path::{Path, PathBuf};

use super::run;

/// An authority and a server's certificate issued by it.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The authority's certificate, PEM.
    pub ca: PathBuf,
    /// The server's certificate, PEM.
    pub certificate: PathBuf,
    /// The server's key, PEM.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes an authority in `folder` and lets it issue a certificate for `names`, in the form of a subjectAltName:
    /// `DNS:localhost`, `IP:127.0.0.1`.
    pub fn make(folder: &Path, names: &[&str]) -> Self {
        let path = |name: &str| folder.join(name);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (ca, ca_key) = (path("ca.pem"), path("ca.key"));
        let (certificate, key, request) = (path("server.pem"), path("server.key"), path("server.csr"));
        let extensions = path("server.ext");
        let names = format!("subjectAltName={}\nextendedKeyUsage=serverAuth\n", names.join(","));
        std::fs::write(&extensions, names).unwrap();
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let authority = ["req", "-x509", "-days", "30", "-subj", "/CN=test authority"];
        run("openssl", &[&authority[..], &new_key, &["-keyout", &text(&ca_key), "-out", &text(&ca)]].concat());
        let asking = ["req", "-subj", "/CN=test server"];
        run("openssl", &[&asking[..], &new_key, &["-keyout", &text(&key), "-out", &text(&request)]].concat());
        run(
            "openssl",
            &[
                &["x509", "-req", "-days", "30", "-CAcreateserial"][..],
                &["-in", &text(&request), "-CA", &text(&ca), "-CAkey", &text(&ca_key)],
                &["-extfile", &text(&extensions), "-out", &text(&certificate)],
            ]
            .concat(),
        );
        Self { ca, certificate, key }
    }
}
