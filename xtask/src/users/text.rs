//! Converts text to ASCII, for usernames, and to JSON.

/// Letters and their replacement in ASCII.
const LETTERS: &[(&str, &str)] = &[
    ("áàâãäåăāạảấầẩẫậắằẳẵặ", "a"),
    ("çćč", "c"),
    ("ďđ", "d"),
    ("éèêëěęēẹẻẽếềểễệ", "e"),
    ("ğ", "g"),
    ("íìîïīịỉĩı", "i"),
    ("ł", "l"),
    ("ñńň", "n"),
    ("óòôõöøōơọỏốồổỗộớờởỡợ", "o"),
    ("ř", "r"),
    ("śšşṣ", "s"),
    ("ťţ", "t"),
    ("úùûüůūưụủũứừửữự", "u"),
    ("ýỳỵỷỹ", "y"),
    ("źżž", "z"),
    ("ąǎ", "a"),
    ("ß", "ss"),
    ("æ", "ae"),
];

/// `Ó Súilleabháin` as `osuilleabhain`.
pub(super) fn ascii(name: &str) -> String {
    name.to_lowercase().chars().map(letter).collect()
}

fn letter(c: char) -> String {
    if c.is_ascii_alphanumeric() {
        return c.to_string();
    }
    let found = LETTERS.iter().find(|(letters, _)| letters.contains(c));
    // Combining accents, spaces, hyphens and apostrophes are removed.
    found.map_or(String::new(), |(_, ascii)| (*ascii).to_owned())
}

/// A JSON string. Only quotes, backslashes and control characters are escaped.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
