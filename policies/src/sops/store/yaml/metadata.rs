//! Metadata as YAML text, laid out as sops does.

use super::scalar::{self, BlockShape};
use crate::sops::block::{Block, Meta};
use crate::sops::plain::Plain;
use crate::yaml::Style;

/// How the metadata is laid out.
#[derive(Clone, Copy)]
pub(super) struct Shape<'l> {
    /// Spaces for a level.
    pub(super) step: usize,
    pub(super) line_break: &'l str,
}

/// The entry `sops:` on lines of its own, its key at a column; each line with its break.
pub(super) fn lines(block: &Block, column: usize, shape: Shape<'_>) -> String {
    let mut out = format!("{}sops:{}", " ".repeat(column), shape.line_break);
    fields(block, column + shape.step, shape, &mut out);
    out
}

fn fields(block: &Block, column: usize, shape: Shape<'_>, out: &mut String) {
    for (name, value) in &block.fields {
        out.push_str(&" ".repeat(column));
        field(name, value, column, shape, out);
    }
}

fn field(name: &str, value: &Meta, column: usize, shape: Shape<'_>, out: &mut String) {
    out.push_str(&scalar::inline(&Plain::text(name), Style::Plain, false, false));
    out.push(':');
    match value {
        Meta::Map(block) if !block.fields.is_empty() => {
            out.push_str(shape.line_break);
            fields(block, column + shape.step, shape, out);
        }
        Meta::List(items) if !items.is_empty() => {
            out.push_str(shape.line_break);
            for item in items {
                list_item(item, column + shape.step, shape, out);
            }
        }
        other => {
            out.push(' ');
            // Below the key of a list item, text is indented as below its dash.
            let indent = column + shape.step.max(2);
            scalar_or_empty(other, column, indent, shape, out);
        }
    }
}

fn list_item(item: &Meta, dash: usize, shape: Shape<'_>, out: &mut String) {
    out.push_str(&" ".repeat(dash));
    out.push_str("- ");
    let column = dash + 2;
    match item {
        Meta::Map(block) if !block.fields.is_empty() => {
            for (index, (name, value)) in block.fields.iter().enumerate() {
                if index > 0 {
                    out.push_str(&" ".repeat(column));
                }
                let inner = Shape { step: shape.step.saturating_sub(2).max(2), ..shape };
                field(name, value, column, inner, out);
            }
        }
        other => scalar_or_empty(other, dash, column, shape, out),
    }
}

fn scalar_or_empty(value: &Meta, parent: usize, indent: usize, shape: Shape<'_>, out: &mut String) {
    match value {
        Meta::Map(_) => out.push_str("{}"),
        Meta::List(_) => out.push_str("[]"),
        Meta::Null => out.push_str("null"),
        Meta::Bool(bool) => out.push_str(&bool.to_string()),
        Meta::Int(int) => out.push_str(&int.to_string()),
        Meta::Text(text) => {
            let layout = BlockShape { header: "|", indent, parent, line_break: shape.line_break };
            let block = text.contains('\n').then(|| scalar::block(text, layout)).flatten();
            if let Some(block) = block {
                out.push_str(&block.header);
                out.push_str(shape.line_break);
                out.push_str(&block.lines);
                return;
            }
            out.push_str(&scalar::inline(&Plain::text(text), Style::Plain, false, false));
        }
    }
    out.push_str(shape.line_break);
}

/// The value of `sops` in braces, as JSON.
pub(super) fn braces(block: &Block) -> String {
    fn value(meta: &Meta, out: &mut String) {
        match meta {
            Meta::Null => out.push_str("null"),
            Meta::Bool(bool) => out.push_str(&bool.to_string()),
            Meta::Int(int) => out.push_str(&int.to_string()),
            Meta::Text(text) => out.push_str(&scalar::double(text)),
            Meta::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    value(item, out);
                }
                out.push(']');
            }
            Meta::Map(block) => map(block, out),
        }
    }
    fn map(block: &Block, out: &mut String) {
        out.push('{');
        for (index, (name, field)) in block.fields.iter().enumerate() {
            out.push_str(if index > 0 { ", " } else { "" });
            out.push_str(&scalar::double(name));
            out.push_str(": ");
            value(field, out);
        }
        out.push('}');
    }
    let mut out = String::new();
    map(block, &mut out);
    out
}
