//! [`Store::open`](crate::Store::open): opens the backend that a URL names, and parses the options
//! of URLs. A new backend adds its scheme to [`SCHEMES`] and to [`open`].

#[cfg(feature = "embedded")]
use crate::backend::EmbeddedOptions;
use crate::{Error, ErrorKind, Result, Store};

/// Every scheme, the feature that it needs, and whether this build has the feature.
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
    // The rest may contain a password, so errors must not contain it.
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(Error::invalid(format!("the URL has no scheme; {}", known())));
    };
    match scheme {
        "memory" if rest.is_empty() => Ok(Store::memory()),
        "memory" => Err(Error::invalid("`memory:` takes nothing after the colon")),
        #[cfg(feature = "embedded")]
        "file" => {
            let (path, options) = file(rest)?;
            Ok(Store::new(options.open(path).await?))
        }
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

/// Parses `file:relative`, `file:/absolute` or `file:///absolute`, and the options.
#[cfg(feature = "embedded")]
fn file(rest: &str) -> Result<(std::path::PathBuf, EmbeddedOptions)> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = match path.strip_prefix("//") {
        None => path,
        Some(path) if path.starts_with('/') => path,
        Some(_) => {
            return Err(Error::invalid(
                "a `file://` URL names a host; write `file:path` or `file:///path`",
            ));
        }
    };
    if path.is_empty() {
        return Err(Error::invalid("`file:` needs a path: `file:users.kvs`"));
    }
    if path == "~" || path.starts_with("~/") {
        return Err(Error::invalid("`~` is not expanded; write the path of the home directory"));
    }
    let mut options = EmbeddedOptions::default();
    let known = ["cache=64MiB", "readers=2", "verify=false"];
    read_options(query, "file", &known, |name, value, _| {
        match name {
            "cache" => options.cache = size(value)?,
            "readers" => options.readers = value.parse().ok().filter(|n| *n > 0)?,
            _ => options.verify = value.parse().ok()?,
        }
        Some(())
    })?;
    Ok((decoded_path(path)?, options))
}

#[cfg(all(feature = "embedded", unix))]
fn decoded_path(path: &str) -> Result<std::path::PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(decoded_bytes(path)?).into())
}
#[cfg(all(feature = "embedded", not(unix)))]
fn decoded_path(path: &str) -> Result<std::path::PathBuf> {
    Ok(decoded(path)?.into())
}

/// Parses the query of a URL: `name=value` pairs, separated by `&`.
///
/// `known` has an example of every option. `set` gets the name, the decoded value, and the value
/// before decoding. It returns `None` if the value is not valid.
///
/// # Errors
/// `InvalidArgument`. The message never contains a value, which may be a password.
#[cfg(any(
    feature = "embedded",
    feature = "redis",
    feature = "dynamodb",
    feature = "foundationdb"
))]
pub(crate) fn read_options(
    query: &str,
    of: &str,
    known: &[&str],
    mut set: impl FnMut(&str, &str, &str) -> Option<()>,
) -> Result<()> {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, raw) = pair.split_once('=').unwrap_or((pair, ""));
        let is_it = |example: &&&str| example.split('=').next() == Some(name);
        let Some(example) = known.iter().find(is_it) else {
            let known: Vec<String> = known.iter().map(|option| format!("`{option}`")).collect();
            return Err(Error::invalid(format!(
                "`{name}` is no option of a {of} URL; there are {}",
                known.join(", ")
            )));
        };
        set(name, &decoded(raw)?, raw).ok_or_else(|| {
            Error::invalid(format!("the value of `{name}` is not valid; write it like `{example}`"))
        })?;
    }
    Ok(())
}

/// Decodes percent-encoding.
///
/// # Errors
/// `InvalidArgument` for a `%` that is not followed by two hexadecimal digits, and if the result is
/// not UTF-8.
#[cfg(any(
    feature = "embedded",
    feature = "redis",
    feature = "dynamodb",
    feature = "foundationdb"
))]
pub(crate) fn decoded(text: &str) -> Result<String> {
    String::from_utf8(decoded_bytes(text)?)
        .map_err(|_| Error::invalid("the URL is not UTF-8 after percent-decoding"))
}

#[cfg(any(
    feature = "embedded",
    feature = "redis",
    feature = "dynamodb",
    feature = "foundationdb"
))]
fn decoded_bytes(text: &str) -> Result<Vec<u8>> {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    for (i, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        if !is_digit(bytes.get(i + 1)) || !is_digit(bytes.get(i + 2)) {
            return Err(Error::invalid(
                "a `%` in the URL is not followed by two hexadecimal digits; write `%` as `%25`",
            ));
        }
    }
    Ok(percent_encoding::percent_decode(bytes).collect())
}

/// Parses a duration: `500ms`, `5s`.
#[cfg(any(feature = "redis", feature = "dynamodb", feature = "foundationdb"))]
pub(crate) fn duration(text: &str) -> Option<std::time::Duration> {
    let (n, unit) = number(text)?;
    match unit {
        "ms" => Some(std::time::Duration::from_millis(n)),
        "s" => Some(std::time::Duration::from_secs(n)),
        _ => None,
    }
}

/// Parses a number of bytes: `64MiB`, `512KiB`, `1GiB`, `4096`.
#[cfg(feature = "embedded")]
fn size(text: &str) -> Option<usize> {
    let (n, unit) = number(text)?;
    let shift = match unit {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    usize::try_from(n.checked_mul(1 << shift)?).ok()
}

/// Parses a positive number. Returns it and the rest of the text.
#[cfg(any(
    feature = "embedded",
    feature = "redis",
    feature = "dynamodb",
    feature = "foundationdb"
))]
fn number(text: &str) -> Option<(u64, &str)> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let n = text[..text.len() - unit.len()].parse().ok().filter(|n| *n > 0)?;
    Some((n, unit))
}

fn unknown(scheme: &str) -> Error {
    match SCHEMES.iter().find(|(known, ..)| *known == scheme) {
        Some((_, feature, _)) => Error::new(
            ErrorKind::Unsupported,
            format!(
                "`{scheme}:` needs the feature `{feature}`, which this build of keyvaluestore does \
                 not have; in Cargo.toml: keyvaluestore = {{ features = [\"{feature}\"] }}"
            ),
        ),
        None => Error::invalid(format!("the scheme `{scheme}:` is not known; {}", known())),
    }
}

/// Lists all schemes for an error message: those of this build, and those that need a feature.
fn known() -> String {
    let schemes = |on: bool| {
        let those = SCHEMES.iter().filter(|(.., is_on)| *is_on == on);
        those.map(|(scheme, ..)| format!("`{scheme}:`")).collect::<Vec<_>>().join(", ")
    };
    match schemes(false) {
        off if off.is_empty() => format!("use one of {}", schemes(true)),
        off => format!("use one of {}; this build lacks the features for {off}", schemes(true)),
    }
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
        let path = |rest| file(rest).unwrap().0;
        assert_eq!(path("a/b"), std::path::Path::new("a/b"));
        assert_eq!(path("/a"), std::path::Path::new("/a"));
        assert_eq!(path("///a"), std::path::Path::new("/a"));
        assert_eq!(path("a%20b%3f.kvs"), std::path::Path::new("a b?.kvs"));
        assert_eq!(path("./~/a"), std::path::Path::new("./~/a"));
        for (url, says) in [
            ("file://host/a", "`file:path`"),
            ("file:", "needs a path"),
            ("file:?verify=true", "needs a path"),
            ("file:~/a", "`~` is not expanded"),
            ("file:100%", "`%25`"),
            ("file:a%2", "`%25`"),
            ("file:a?mode=rw", "there are `cache=64MiB`, `readers=2`, `verify=false`"),
            ("file:a?cache=64MB", "like `cache=64MiB`"),
            ("file:a?cache=99999999999GiB", "like `cache=64MiB`"),
            ("file:a?readers=0", "like `readers=2`"),
            ("file:a?verify", "like `verify=false`"),
            ("file:a?verify=%ff", "not UTF-8"),
        ] {
            let (kind, message) = refused(url);
            assert_eq!(kind, InvalidArgument, "{url}");
            assert!(message.contains(says), "{url}: {message}");
        }
    }

    #[cfg(feature = "embedded")]
    #[test]
    fn the_options_of_a_file_are_read_in_any_order() {
        let (path, options) = file("x.kvs?verify=false&cache=64MiB&readers=3").unwrap();
        assert_eq!(path, std::path::Path::new("x.kvs"));
        assert_eq!((options.cache, options.readers, options.verify), (64 << 20, 3, false));
        let (_, options) = file("x.kvs?cache=4096&verify=true").unwrap();
        assert_eq!((options.cache, options.verify), (4096, true));
    }

    #[test]
    fn a_mistyped_scheme_is_shown_all_schemes_those_of_other_features_too() {
        let (_, message) = refused("fdb:x");
        for (scheme, ..) in SCHEMES {
            assert!(message.contains(&format!("`{scheme}:`")), "{message}");
        }
    }
}
