//! The AWS config files, with credentials and settings by profile.
//!
//! Upstream: botocore's `configloader` and `credentials`.

use std::collections::HashMap;

use object_store::aws::AmazonS3ConfigKey;

use crate::config::Environment;
use crate::domain::{Error, Result};

/// The settings of one profile. The credentials file wins over the config file.
#[derive(Default)]
pub(super) struct Profile {
    name: String,
    values: HashMap<String, String>,
}

/// The static credentials of a profile.
const KEYS: [(AmazonS3ConfigKey, &str); 3] = [
    (AmazonS3ConfigKey::AccessKeyId, "aws_access_key_id"),
    (AmazonS3ConfigKey::SecretAccessKey, "aws_secret_access_key"),
    (AmazonS3ConfigKey::Token, "aws_session_token"),
];
/// A role and its web identity token.
const WEB_IDENTITY: [(AmazonS3ConfigKey, &str); 3] = [
    (AmazonS3ConfigKey::WebIdentityTokenFile, "web_identity_token_file"),
    (AmazonS3ConfigKey::RoleArn, "role_arn"),
    (AmazonS3ConfigKey::RoleSessionName, "role_session_name"),
];
/// Credential sources in profiles that are unsupported here.
const UNKNOWN_WAYS: [&str; 5] =
    ["role_arn", "credential_process", "sso_session", "sso_start_url", "login_session"];

impl Profile {
    /// Reads the profile that the environment names.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` if a profile is named and neither file has it.
    pub(super) fn read(environment: &Environment) -> Result<Self> {
        let named = environment.get("AWS_PROFILE").or_else(|| environment.get("AWS_DEFAULT_PROFILE"));
        let name = named.unwrap_or("default");
        let home = environment.get("HOME").unwrap_or_default();
        let read = |variable: &str, file: &str| {
            let path = environment.get(variable).map_or_else(|| format!("{home}/.aws/{file}"), str::to_owned);
            let path = path.strip_prefix("~/").map_or(path.clone(), |rest| format!("{home}/{rest}"));
            std::fs::read_to_string(path).unwrap_or_default()
        };
        let config = read("AWS_CONFIG_FILE", "config");
        let credentials = read("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let mut found = section(&config, &[name, &format!("profile {name}")]);
        if let Some(values) = section(&credentials, &[name]) {
            found.get_or_insert_default().extend(values);
        }
        match (found, named) {
            (Some(values), _) => Ok(Self { name: name.to_owned(), values }),
            (None, None) => Ok(Self::default()),
            (None, Some(name)) => {
                Err(super::misconfigured(format!("The AWS profile '{name}' could not be found.")))
            }
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns the settings of the profile's credential source; none if it names none.
    ///
    /// `INTERNAL_ERROR` if the profile's credential source is unsupported: falling back would use somebody
    /// else's credentials.
    /// credentials.
    pub(super) fn credentials(&self) -> Result<Vec<(AmazonS3ConfigKey, String)>> {
        let all = |names: &[(AmazonS3ConfigKey, &str)]| {
            let found = names.iter().filter_map(|(key, name)| Some((*key, self.get(name)?.to_owned())));
            found.collect::<Vec<_>>()
        };
        if self.get("role_arn").and(self.get("web_identity_token_file")).is_some() {
            return Ok(all(&WEB_IDENTITY));
        }
        if let Some(way) = UNKNOWN_WAYS.iter().find(|way| self.values.contains_key(**way)) {
            let name = &self.name;
            let message = format!(
                "The AWS profile '{name}' gets its credentials by `{way}`, which this server cannot do."
            );
            return Err::<_, Error>(super::misconfigured(message));
        }
        let has_keys = self.get("aws_access_key_id").and(self.get("aws_secret_access_key")).is_some();
        Ok(if has_keys { all(&KEYS) } else { Vec::new() })
    }
}

/// Returns the values below the first of these headings; nested ones are left out.
fn section(text: &str, headings: &[&str]) -> Option<HashMap<String, String>> {
    let mut found: Option<HashMap<String, String>> = None;
    let mut is_ours = false;
    for line in text.lines() {
        if let Some(heading) = line.trim().strip_prefix('[').and_then(|line| line.split_once(']')) {
            let heading = heading.0.split_whitespace().collect::<Vec<_>>().join(" ");
            is_ours = headings.contains(&heading.as_str());
            if is_ours {
                found.get_or_insert_default();
            }
        } else if is_ours
            && !line.starts_with([' ', '\t', '#', ';'])
            && let Some(((name, value), found)) = line.split_once('=').zip(found.as_mut())
        {
            found.insert(name.trim().to_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(named: Option<&str>) -> Result<Profile> {
        let folder = tempfile::tempdir().unwrap();
        let config = "[default]\nregion = eu-west-1\n\n[profile  big]\nregion=eu-north-1\ns3 =\n  region = no\n\
                      aws_access_key_id = from-config\n[profile role]\nrole_arn = x\n[profile web]\nrole_arn = r\n\
                      web_identity_token_file = /f\n";
        let credentials = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key = a=b\n[big]\n\
                           aws_access_key_id=B\naws_secret_access_key=b\naws_session_token=t\n";
        std::fs::create_dir(folder.path().join(".aws")).unwrap();
        std::fs::write(folder.path().join(".aws/config"), config).unwrap();
        std::fs::write(folder.path().join("elsewhere"), credentials).unwrap();
        let home = folder.path().to_string_lossy().into_owned();
        let variables = [
            Some(("HOME".to_owned(), home)),
            Some(("AWS_SHARED_CREDENTIALS_FILE".to_owned(), "~/elsewhere".to_owned())),
            named.map(|name| ("AWS_PROFILE".to_owned(), name.to_owned())),
        ];
        Profile::read(&variables.into_iter().flatten().collect())
    }

    #[test]
    fn both_files_are_read() {
        let default = profile(None).unwrap();
        assert_eq!(default.get("region"), Some("eu-west-1"));
        let values = |profile: &Profile| {
            profile.credentials().unwrap().into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(values(&default), ["A", "a=b"]);
        let big = profile(Some("big")).unwrap();
        assert_eq!(big.get("region"), Some("eu-north-1"));
        assert_eq!(values(&big), ["B", "b", "t"]);
        assert_eq!(values(&profile(Some("web")).unwrap()), ["/f", "r"]);
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        let missing = profile(Some("none")).err().unwrap();
        assert_eq!(missing.message, "The AWS profile 'none' could not be found.");
        let role = profile(Some("role")).unwrap();
        assert!(role.credentials().unwrap_err().message.contains("by `role_arn`"));
    }
}
