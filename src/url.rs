//! What [`Store::open`](crate::Store::open) makes of a URL. One arm per scheme; the place for the next backend's.

use crate::{Error, ErrorKind, Result, Store};

/// The schemes that some version or build of the library knows, and the feature that each needs.
const SCHEMES: [(&str, &str); 9] = [
    ("memory", ""),
    ("file", "embedded"),
    ("redis", "redis"),
    ("rediss", "redis"),
    ("redis+unix", "redis"),
    ("redis+cluster", "redis"),
    ("rediss+cluster", "redis"),
    ("dynamodb", "dynamodb"),
    ("foundationdb", "foundationdb"),
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

fn unknown(scheme: &str) -> Error {
    match SCHEMES.iter().find(|(known, _)| *known == scheme) {
        Some((_, feature)) => Error::new(
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
#[allow(clippy::match_like_matches_macro, reason = "what each arm is depends on the features")]
fn known() -> String {
    let open = SCHEMES.iter().filter(|(_, feature)| match *feature {
        "" => true,
        "embedded" => cfg!(feature = "embedded"),
        "redis" => cfg!(feature = "redis"),
        _ => false,
    });
    let schemes: Vec<String> = open.map(|(scheme, _)| format!("`{scheme}:`")).collect();
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
            ("foundationdb:", Unsupported, "feature `foundationdb`"),
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
