//! What [`Store::open`](crate::Store::open) makes of a URL. One arm per scheme; the place for the next backend's.

use crate::{Error, ErrorKind, Result, Store};

/// The schemes that some version or build of the library knows, the feature that each needs, and whether it is on.
const SCHEMES: [(&str, &str, bool); 9] = [
    ("memory", "", true),
    ("file", "embedded", cfg!(feature = "embedded")),
    ("redis", "redis", cfg!(feature = "redis")),
    ("rediss", "redis", cfg!(feature = "redis")),
    ("redis+unix", "redis", cfg!(feature = "redis")),
    ("redis+cluster", "redis", cfg!(feature = "redis")),
    ("rediss+cluster", "redis", cfg!(feature = "redis")),
    ("dynamodb", "dynamodb", cfg!(feature = "dynamodb")),
    ("foundationdb", "foundationdb", cfg!(feature = "foundationdb")),
];

pub(crate) async fn open(url: &str) -> Result<Store> {
    // The rest may hold a password: no error repeats it.
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(Error::invalid(format!("the URL has no scheme; {}", known())));
    };
    match scheme {
        "memory" if rest.is_empty() => Ok(Store::memory()),
        "memory" => Err(Error::invalid("`memory:` takes nothing after the colon")),
        #[cfg(feature = "embedded")]
        "file" => Ok(Store::new(crate::Embedded::open(path(rest)?).await?)),
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "redis+unix" | "redis+cluster" | "rediss+cluster" => {
            Ok(Store::new(crate::Redis::open(url).await?))
        }
        #[cfg(feature = "dynamodb")]
        "dynamodb" => Ok(Store::new(crate::DynamoDb::open(url).await?)),
        #[cfg(feature = "foundationdb")]
        "foundationdb" => Ok(Store::new(crate::FoundationDb::open(url).await?)),
        _ => Err(unknown(scheme)),
    }
}

/// `file:relative`, `file:/absolute` and `file:///absolute` all name a path.
#[cfg(feature = "embedded")]
fn path(rest: &str) -> Result<&std::path::Path> {
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(path) if path.starts_with('/') => path,
        Some(_) => {
            return Err(Error::invalid(
                "`file://` is followed by a host; write `file:path`, or `file:///path`",
            ));
        }
    };
    if path.is_empty() {
        return Err(Error::invalid("`file:` needs a path: `file:users.kvs`"));
    }
    Ok(path.as_ref())
}

/// A time in the options of a URL.
#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
pub(crate) fn duration(text: &str) -> Result<std::time::Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text[..text.len() - unit.len()].parse::<u64>();
    match (number, unit) {
        (Ok(n), "ms") if n > 0 => Ok(std::time::Duration::from_millis(n)),
        (Ok(n), "s") if n > 0 => Ok(std::time::Duration::from_secs(n)),
        _ => Err(Error::invalid("a timeout is a positive number of `ms` or `s`: `500ms`")),
    }
}

fn unknown(scheme: &str) -> Error {
    match SCHEMES.iter().find(|(known, ..)| *known == scheme) {
        Some((_, feature, _)) => Error::new(
            ErrorKind::Unsupported,
            format!(
                "`{scheme}:` needs the feature `{feature}`, which this build of keyvaluestore does not \
                 have; in Cargo.toml: keyvaluestore = {{ features = [\"{feature}\"] }}"
            ),
        ),
        None => Error::invalid(format!("the scheme `{scheme}:` is not known; {}", known())),
    }
}

/// What can be opened here and now.
fn known() -> String {
    let open = SCHEMES.iter().filter(|(.., is_on)| *is_on);
    let schemes: Vec<String> = open.map(|(scheme, ..)| format!("`{scheme}:`")).collect();
    format!("use one of {}", schemes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind::*;
    use futures_util::FutureExt;

    fn refused(url: &str) -> (ErrorKind, String) {
        let error = open(url).now_or_never().unwrap().unwrap_err();
        (error.kind(), error.to_string())
    }

    #[test]
    fn what_cannot_be_opened_says_what_to_do_and_keeps_secrets() {
        for (url, kind, says) in [
            ("users.kvs", InvalidArgument, "no scheme; use one of `memory:`"),
            ("memory:x", InvalidArgument, "nothing after the colon"),
            (
                "mongodb://u:secret@h",
                InvalidArgument,
                "`mongodb:` is not known; use one of `memory:`",
            ),
        ] {
            let (found, message) = refused(url);
            assert_eq!(found, kind, "{url}");
            assert!(message.contains(says), "{url}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[cfg(not(feature = "embedded"))]
    #[test]
    fn a_scheme_whose_feature_is_off_names_the_feature() {
        let (kind, message) = refused("file:x");
        assert_eq!(kind, Unsupported);
        assert!(message.contains("features = [\"embedded\"]"), "{message}");
    }

    #[cfg(feature = "embedded")]
    #[test]
    fn a_file_is_named_in_three_ways_and_a_host_in_none() {
        assert_eq!(path("a/b").unwrap(), std::path::Path::new("a/b"));
        assert_eq!(path("/a").unwrap(), std::path::Path::new("/a"));
        assert_eq!(path("///a").unwrap(), std::path::Path::new("/a"));
        assert_eq!(refused("file://host/a").0, InvalidArgument);
        assert_eq!(refused("file:").0, InvalidArgument);
    }
}
