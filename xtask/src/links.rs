//! Checks that every relative link of the Markdown files leads to a file, and to a heading of it if
//! it has a fragment. rustdoc checks the links between items, `cargo doc` those of the guides.

use crate::command::root;
use crate::files::files;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ITEMS: &str = "docs/rustdoc-links.md";

/// Prints every link that leads nowhere. Returns whether there is none.
pub(crate) fn check() -> io::Result<bool> {
    let mut fine = true;
    // The links of `rustdoc-links.md` lead to items.
    let is_checked =
        |file: &&PathBuf| file.extension() == Some("md".as_ref()) && !file.ends_with(ITEMS);
    for file in files()?.iter().filter(is_checked) {
        for link in links(&fs::read_to_string(file)?) {
            if !leads_somewhere(file, &link)? {
                let name = file.strip_prefix(root()).unwrap_or(file).display();
                println!("{name}: the link {link} leads nowhere");
                fine = false;
            }
        }
    }
    Ok(fine)
}

fn leads_somewhere(file: &Path, link: &str) -> io::Result<bool> {
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => file.to_path_buf(),
        path => file.with_file_name(path),
    };
    if fragment.is_empty() || !target.is_file() {
        return Ok(target.exists());
    }
    let text = fs::read_to_string(target)?;
    let mut headings = text.lines().filter(|line| line.starts_with('#'));
    Ok(headings.any(|heading| slug(heading.trim_start_matches('#').trim()) == fragment))
}

/// The fragment that a heading gets.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// The targets of `[text](target)` and `[label]: target`, without those that have a scheme.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        let definition = definition.filter(|(label, _)| !label.contains(']')).map(|(_, it)| it);
        found.extend(inline.chain(definition).map(str::trim).map(str::to_owned));
    }
    found.retain(|link| !link.contains("://") && !link.contains("::") && !link.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_in_both_forms() {
        let text =
            "See [a](a.md#x), [b](b.md), [web](https://example.org) and [c].\n\n[c]: d/c.md\n";
        assert_eq!(links(text), ["a.md#x", "b.md", "d/c.md"]);
    }

    #[test]
    fn a_link_leads_to_a_file_and_to_a_heading() {
        let readme = root().join("README.md");
        assert!(leads_somewhere(&readme, "xtask/src/links.rs").unwrap());
        assert!(leads_somewhere(&readme, "docs").unwrap());
        assert!(!leads_somewhere(&readme, "docs/nothing.md").unwrap());
        assert!(leads_somewhere(&readme, "CONTRIBUTING.md#adding-an-operation").unwrap());
        assert!(!leads_somewhere(&readme, "CONTRIBUTING.md#removing-an-operation").unwrap());
        assert_eq!(slug("What `cp` does: a copy"), "what-cp-does-a-copy");
    }
}
