//! Names from a repository, made safe to look at and to paste.

use bstr::ByteSlice as _;

/// Whether a character changes how the rest is shown, or cannot be seen.
fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A name as it can be shown: as it is, or in double quotes with escapes where it holds control
/// characters, marks that reorder text, or bytes that are no UTF-8.
pub fn shown(name: &[u8]) -> String {
    match name.to_str() {
        Ok(text) if !text.chars().any(is_treacherous) => text.to_owned(),
        _ => format!("\"{}\"", escaped(name, '"')),
    }
}

/// A name as a word of a POSIX shell (of bash, where it needs escapes). It is never taken for an option.
pub fn in_shell(name: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+,=@%".contains(byte);
    let dashed = [b"./", name].concat();
    let name = if name.starts_with(b"-") { &dashed } else { name };
    match name.to_str() {
        Ok(text) if text.chars().any(is_treacherous) => format!("$'{}'", escaped(name, '\'')),
        Ok(text) if !text.is_empty() && name.iter().all(plain) => text.to_owned(),
        Ok(text) => format!("'{}'", text.replace('\'', r"'\''")),
        Err(_) => format!("$'{}'", escaped(name, '\'')),
    }
}

fn escaped(name: &[u8], quote: char) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '\\' => text.push_str("\\\\"),
                _ if character == quote => text.extend(['\\', quote]),
                _ if is_treacherous(character) => {
                    let mut bytes = [0; 4];
                    character.encode_utf8(&mut bytes).bytes().for_each(|byte| push_byte(&mut text, byte));
                }
                _ => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|byte| push_byte(&mut text, *byte));
    }
    text
}

/// Octal, as Git writes it: with three digits it ends by itself, whatever follows.
fn push_byte(text: &mut String, byte: u8) {
    text.push_str(&format!("\\{byte:03o}"));
}

/// Breaks a text at spaces so that no line is wider than it may, unless one word is. The lines after the
/// first are indented.
pub fn wrapped(text: &str, width: usize, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for (index, word) in text.split(' ').enumerate() {
        let starts_line = index == 0 || line.len() == indent.len() && !lines.is_empty();
        if !starts_line && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
        } else if !starts_line {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_what_they_hold() {
        assert_eq!(shown("apps/ä b.yaml".as_bytes()), "apps/ä b.yaml");
        assert_eq!(shown(b"a\nb\x1b[31m\\"), r#""a\nb\033[31m\\""#);
        assert_eq!(shown(b"a\xff"), r#""a\377""#);
        assert_eq!(shown("a\u{202e}b".as_bytes()), r#""a\342\200\256b""#);
    }

    #[test]
    fn names_can_be_pasted() {
        assert_eq!(in_shell(b"apps/db.yaml"), "apps/db.yaml");
        assert_eq!(in_shell(b"-rf"), "./-rf");
        assert_eq!(in_shell(b"it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(in_shell(b"a\n'\xff"), r"$'a\n\'\377'");
    }

    #[test]
    fn long_text_breaks_at_spaces() {
        assert_eq!(wrapped("aa bb cc", 5, "  "), ["aa bb", "  cc"]);
        assert_eq!(wrapped("aaaaaaaa bb", 4, "  "), ["aaaaaaaa", "  bb"]);
        assert_eq!(wrapped("  indented text", 12, "    "), ["  indented", "    text"]);
    }
}
