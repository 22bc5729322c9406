//! Writing XML: elements within elements.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use std::borrow::Cow;
use std::io;

/// An XML document that is being written.
pub(super) type Xml = Writer<Vec<u8>>;

type Attributes<'a> = [(&'a str, &'a str)];

/// A document with what is written into it.
pub(super) fn document(content: impl FnOnce(&mut Xml) -> io::Result<()>) -> io::Result<String> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    content(&mut xml)?;
    String::from_utf8(xml.into_inner()).map_err(io::Error::other)
}

/// An element with content.
pub(super) fn element(
    xml: &mut Xml,
    name: &str,
    attributes: &Attributes<'_>,
    content: impl FnOnce(&mut Xml) -> io::Result<()>,
) -> io::Result<()> {
    let legal: Vec<_> = attributes.iter().map(|(name, value)| (*name, legal(value))).collect();
    let attributes = legal.iter().map(|(name, value)| (*name, value.as_ref()));
    xml.create_element(name).with_attributes(attributes).write_inner_content(content)?;
    Ok(())
}

/// An element without content.
pub(super) fn empty(xml: &mut Xml, name: &str, attributes: &Attributes<'_>) -> io::Result<()> {
    let legal: Vec<_> = attributes.iter().map(|(name, value)| (*name, legal(value))).collect();
    let attributes = legal.iter().map(|(name, value)| (*name, value.as_ref()));
    xml.create_element(name).with_attributes(attributes).write_empty()?;
    Ok(())
}

/// Text between elements.
pub(super) fn text(xml: &mut Xml, text: &str) -> io::Result<()> {
    xml.write_event(Event::Text(BytesText::new(&legal(text))))
}

/// XML 1.0 has no way to write some characters.
fn legal(text: &str) -> Cow<'_, str> {
    let illegal = |character: char| matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
    if text.contains(illegal) { Cow::Owned(text.replace(illegal, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_say_is_replaced_and_what_it_says_otherwise_is_escaped() {
        let document = document(|xml| {
            element(xml, "a", &[("b", "\"<\u{1}\u{ffff}>&\n")], |xml| text(xml, "]]></a>\u{fffe}\u{8}"))
        });
        insta::assert_snapshot!(document.unwrap(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <a b="&quot;&lt;��&gt;&amp;&#10;">]]&gt;&lt;/a&gt;��</a>
        "#);
    }
}
