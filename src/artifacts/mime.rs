//! The content type of an artifact, by its name.

/// Extensions that are text whatever the registries say; also whole names without one.
/// Upstream: `mlflow.utils.mime_type_utils.get_text_extensions`.
const TEXT: [&str; 26] = [
    "txt",
    "log",
    "err",
    "cfg",
    "conf",
    "cnf",
    "cf",
    "ini",
    "properties",
    "prop",
    "hocon",
    "toml",
    "yaml",
    "yml",
    "xml",
    "json",
    "js",
    "py",
    "py3",
    "csv",
    "tsv",
    "md",
    "rst",
    "ipynb",
    "MLmodel",
    "mlproject",
];

/// Where Python's `mimetypes` and the crate `mime_guess` disagree, this is Python's type.
const PYTHON: [(&str, &str); 35] = [
    ("3g2", "audio/3gpp2"),
    ("3gp", "audio/3gpp"),
    ("3gpp", "audio/3gpp"),
    ("3gpp2", "audio/3gpp2"),
    ("a", "application/octet-stream"),
    ("aif", "audio/x-aiff"),
    ("aifc", "audio/x-aiff"),
    ("aiff", "audio/x-aiff"),
    ("ass", "audio/aac"),
    ("bat", "text/plain"),
    ("cdf", "application/x-netcdf"),
    ("dll", "application/octet-stream"),
    ("h5", "application/x-hdf5"),
    ("ico", "image/vnd.microsoft.icon"),
    ("ksh", "text/plain"),
    ("loas", "audio/aac"),
    ("m3u", "application/vnd.apple.mpegurl"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("mif", "application/x-mif"),
    ("o", "application/octet-stream"),
    ("obj", "application/octet-stream"),
    ("opus", "audio/opus"),
    ("pl", "text/plain"),
    ("pyc", "application/x-python-code"),
    ("pyo", "application/x-python-code"),
    ("ram", "application/x-pn-realaudio"),
    ("rdf", "application/xml"),
    ("sgm", "text/x-sgml"),
    ("sgml", "text/x-sgml"),
    ("srt", "text/plain"),
    ("wav", "audio/x-wav"),
    ("wsdl", "application/xml"),
    ("xlb", "application/vnd.ms-excel"),
    ("xpdl", "application/xml"),
    ("xsl", "application/xml"),
];

/// Double extensions.
const DOUBLE: [(&str, &str); 6] = [
    (".svgz", ".svg.gz"),
    (".taz", ".tar.gz"),
    (".tbz2", ".tar.bz2"),
    (".tgz", ".tar.gz"),
    (".txz", ".tar.xz"),
    (".tz", ".tar.gz"),
];

/// Returns the content type for a file of this name.
///
/// Upstream: `_guess_mime_type`. Stock also reads the MIME tables of its machine; without any, it knows fewer
/// extensions than this.
pub fn content_type(file_name: &str) -> &'static str {
    let (_, ending) = split_ending(file_name);
    let ending = ending.replace('.', "");
    let ending = if ending.is_empty() { file_name } else { &ending };
    if TEXT.contains(&ending) { "text/plain" } else { guess(file_name) }
}

/// Returns the MIME type of a file, text or not.
///
/// Upstream: Python's `mimetypes.guess_type`, which strips a compression extension first.
pub fn guess(file_name: &str) -> &'static str {
    let lower = file_name.to_lowercase();
    let mut name = file_name.to_owned();
    for (short, long) in DOUBLE {
        if let Some(stem) = lower.strip_suffix(short).and_then(|stem| file_name.get(..stem.len())) {
            name = format!("{stem}{long}");
        }
    }
    let (stem, mut ending) = split_ending(&name);
    if matches!(ending, ".gz" | ".Z" | ".bz2" | ".xz" | ".br") {
        ending = split_ending(stem).1;
    }
    let ending = ending.trim_start_matches('.').to_lowercase();
    match PYTHON.iter().find(|(e, _)| *e == ending) {
        Some((_, kind)) => kind,
        None => mime_guess::from_ext(&ending).first_raw().unwrap_or("application/octet-stream"),
    }
}

/// Splits off extension and dot; leading dots belong to the name. Upstream: `os.path.splitext`.
fn split_ending(name: &str) -> (&str, &str) {
    let leading = name.len() - name.trim_start_matches('.').len();
    match name.rfind('.') {
        Some(dot) if dot > leading => name.split_at(dot),
        _ => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values were taken from MLflow 3.17.2.
    #[test]
    fn types_are_those_of_stock() {
        for (name, want) in [
            ("model.json", "text/plain"),
            ("MLmodel", "text/plain"),
            ("mlproject", "text/plain"),
            ("MLproject", "application/octet-stream"),
            ("mlmodel", "application/octet-stream"),
            ("data.csv", "text/plain"),
            ("data.CSV", "text/csv"),
            ("a.yaml", "text/plain"),
            ("script.py", "text/plain"),
            ("page.html", "text/html"),
            ("page.HTM", "text/html"),
            ("plot.png", "image/png"),
            ("plot.svg", "image/svg+xml"),
            ("photo.jpeg", "image/jpeg"),
            ("doc.pdf", "application/pdf"),
            ("sound.wav", "audio/x-wav"),
            ("film.mp4", "video/mp4"),
            ("model.h5", "application/x-hdf5"),
            ("model.pkl", "application/octet-stream"),
            ("archive.zip", "application/zip"),
            ("archive.tar.gz", "application/x-tar"),
            ("archive.tgz", "application/x-tar"),
            ("table.csv.gz", "text/csv"),
            ("x.gz", "application/octet-stream"),
            ("noending", "application/octet-stream"),
            ("log", "text/plain"),
            (".json", "application/octet-stream"),
            ("..a.json", "text/plain"),
            ("a.svgz", "image/svg+xml"),
            (".bashrc", "application/octet-stream"),
            ("trailing.", "application/octet-stream"),
            ("日本.png", "image/png"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), want, "{name}");
        }
    }
}
