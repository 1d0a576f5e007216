//! Checks that no line has more than 100 columns. `rustfmt` wraps neither comments nor documents.

use crate::command::root;
use crate::files::files;
use std::fs;
use std::io;

const MAX_COLUMNS: usize = 100;

/// Prints every line that is too long. Returns whether there is none.
pub(crate) fn check() -> io::Result<bool> {
    let mut fine = true;
    for file in files()? {
        for number in too_long(&fs::read_to_string(&file)?) {
            let name = file.strip_prefix(root()).unwrap_or(&file).display();
            println!("{name}:{number}: more than {MAX_COLUMNS} columns");
            fine = false;
        }
    }
    Ok(fine)
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
