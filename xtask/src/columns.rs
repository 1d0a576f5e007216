//! Checks that no line has more than 100 columns. `rustfmt` wraps neither comments nor documents.

use crate::command::root;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const MAX_COLUMNS: usize = 100;

/// The directories whose Rust, Markdown and Lua files are checked. Those of the root are, too.
const DIRS: [&str; 7] = [".github", "benches", "docs", "examples", "src", "tests", "xtask"];

/// Prints every line that is too long. Returns whether there is none.
pub(crate) fn check() -> io::Result<bool> {
    let root = root();
    let mut files = Vec::new();
    collect(&root, false, &mut files)?;
    for dir in DIRS {
        collect(&root.join(dir), true, &mut files)?;
    }
    let mut fine = true;
    for file in files {
        for number in too_long(&fs::read_to_string(&file)?) {
            let name = file.strip_prefix(&root).unwrap_or(&file).display();
            println!("{name}:{number}: more than {MAX_COLUMNS} columns");
            fine = false;
        }
    }
    Ok(fine)
}

/// Adds the files of `dir` in the order of their names, with those below it if `deep`.
fn collect(dir: &Path, deep: bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if deep {
                collect(&path, deep, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "rs" || e == "md" || e == "lua") {
            files.push(path);
        }
    }
    Ok(())
}

/// The numbers of the lines that are too long and can be broken.
fn too_long(text: &str) -> impl Iterator<Item = usize> {
    let lines = (1..).zip(text.lines());
    let long = lines.filter(|(_, line)| line.chars().count() > MAX_COLUMNS && is_breakable(line));
    long.map(|(number, _)| number)
}

/// The row of a table cannot be wrapped, nor can a single word such as a URL.
fn is_breakable(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches(['/', '!', '-', '*']).trim_start();
    !text.starts_with('|') && text.split_whitespace().count() > 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_found_unless_it_cannot_be_broken() {
        let words = "word ".repeat(25);
        let text = format!(
            "short\n/// {words}\n/// | {words} |\n    {words}\nlet x = {};\n[link]: {}\n{}\n",
            "y + ".repeat(30),
            "z".repeat(200),
            "é ".repeat(50)
        );
        assert_eq!(too_long(&text).collect::<Vec<_>>(), [2, 4, 5]);
    }
}
