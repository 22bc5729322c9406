//! Functions of templates on values that are known.

use super::hull;
use super::value::Value;

/// What a function gives; `None` where that is not known, or where it does not matter here.
///
/// Functions that only change the spelling of a text give it as it is: what counts is that it is there.
pub(super) fn call(name: &str, arguments: Vec<Value>) -> Option<Value> {
    let last = arguments.last();
    match name {
        "list" | "tuple" => return Some(Value::List(arguments)),
        "dict" => return map(arguments),
        "merge" | "mergeOverwrite" | "deepCopy" | "mustMerge" => return merged(arguments),
        "get" | "index" | "dig" | "pluck" => return looked_up(&arguments),
        "values" | "first" | "last" | "keys" => return of_collection(name, last?),
        "default" | "coalesce" | "or" | "dflt" | "ternary" => return first_given(name, arguments),
        "toYaml" | "toJson" | "toPrettyJson" | "toRawJson" | "toToml" | "mustToJson" | "mustToYaml" => {
            let value = last.filter(|value| value.is_known())?;
            return Some(Value::Text(value.json().to_string(), value.origin()?));
        }
        "join" | "cat" | "print" | "println" | "printf" => return joined(name, &arguments),
        "split" | "splitList" | "split_list" => return split(&arguments),
        _ => {}
    }
    // `tpl TEXT CONTEXT`
    let subject = if name == "tpl" { arguments.first() } else { last };
    let Some(Value::Text(text, origin)) = subject else { return None };
    let text = match name {
        "quote" => serde_json::Value::from(text.as_str()).to_string(),
        "squote" => format!("'{}'", text.replace('\'', "''")),
        "indent" | "nindent" => indented(name == "nindent", arguments.first()?, text)?,
        "replace" => replaced(&arguments)?,
        "b64dec" | "b64decode" => String::from_utf8(crate::yaml::decode_base64(text)?).ok()?,
        "b64enc" | "b64encode" | "trim" | "trimAll" | "trimSuffix" | "trimPrefix" | "toString" | "upper"
        | "lower" | "title" | "nospace" | "required" | "tpl" | "trunc" | "substr" | "string" | "safe"
        | "fail" | "repeat" | "html" | "js" | "urlquery" | "reverse" | "initial" | "abbrev" => text.clone(),
        _ => return None,
    };
    Some(Value::Text(text, origin.clone()))
}

fn map(arguments: Vec<Value>) -> Option<Value> {
    let mut map = Value::Map(Vec::new());
    let mut arguments = arguments.into_iter();
    while let (Some(key), Some(value)) = (arguments.next(), arguments.next()) {
        match key {
            Value::Text(key, _) => map.set(&key, value),
            // A key from elsewhere hides nothing of the value.
            Value::Code(code) => map.set(&format!("{{{{ {code} }}}}"), value),
            _ => return None,
        }
    }
    Some(map)
}

fn merged(arguments: Vec<Value>) -> Option<Value> {
    let mut all = Value::Map(Vec::new());
    for argument in arguments {
        if let Value::Map(entries) = argument {
            for (key, value) in entries {
                all.set(&key, value);
            }
        }
    }
    matches!(&all, Value::Map(entries) if !entries.is_empty()).then_some(all)
}

/// `get MAP KEY`, `index MAP KEY…`, and `pluck KEY MAP`.
fn looked_up(arguments: &[Value]) -> Option<Value> {
    let is_holder = |value: &Value| matches!(value, Value::Map(_) | Value::List(_));
    let mut found = arguments.iter().find(|argument| is_holder(argument))?.clone();
    for argument in arguments {
        if let Value::Text(key, _) = argument
            && is_holder(&found)
        {
            found = found.get(key)?.clone();
        }
    }
    (!is_holder(&found) || arguments.len() > 1).then_some(found)
}

fn of_collection(name: &str, collection: &Value) -> Option<Value> {
    match (name, collection) {
        ("values", Value::Map(entries)) => {
            Some(Value::List(entries.iter().map(|(_, v)| v.clone()).collect()))
        }
        ("first", Value::List(items)) => items.first().cloned(),
        ("last", Value::List(items)) => items.last().cloned(),
        _ => None,
    }
}

/// The gravest: where several can be meant, the one that the file gives.
fn first_given(name: &str, arguments: Vec<Value>) -> Option<Value> {
    // The last one of `ternary` is the question.
    let count = arguments.len() - usize::from(name == "ternary" && arguments.len() > 2);
    // Where one of them comes from elsewhere, the call stays, with its default in it.
    if arguments.iter().take(count).any(|argument| !argument.is_known()) {
        return None;
    }
    // `default GIVEN VALUE`
    let mut order: Vec<Value> = arguments.into_iter().take(count).collect();
    if matches!(name, "default" | "dflt") {
        order.reverse();
    }
    order.into_iter().find(Value::is_given)
}

fn joined(name: &str, arguments: &[Value]) -> Option<Value> {
    let mut parts = Vec::new();
    let mut origin = None;
    for argument in arguments {
        let part = argument.shown()?;
        if let Some(written) = argument.origin() {
            origin = Some(origin.map_or(written.clone(), |all| hull(&all, &written)));
        }
        parts.push(part);
    }
    let text = match name {
        "printf" => formatted(&parts),
        _ => parts.join(""),
    };
    Some(Value::Text(text, origin?))
}

/// A format with its verbs replaced, in order.
fn formatted(parts: &[String]) -> String {
    let mut arguments = parts.iter().skip(1);
    let mut made = String::new();
    let mut format = parts.first().map(String::as_str).unwrap_or_default();
    while let Some(at) = format.find('%') {
        made.push_str(&format[..at]);
        let rest = &format[at + 1..];
        let verb = rest.find(|c: char| c.is_alphabetic() || c == '%').unwrap_or(rest.len());
        if rest[verb..].starts_with('%') {
            made.push('%');
        } else if let Some(argument) = arguments.next() {
            made.push_str(argument);
        }
        format =
            rest.get(verb..).and_then(|rest| rest.get(rest.chars().next()?.len_utf8()..)).unwrap_or_default();
    }
    made.push_str(format);
    made
}

fn split(arguments: &[Value]) -> Option<Value> {
    let [Value::Text(separator, _), Value::Text(text, origin)] = arguments else { return None };
    (!separator.is_empty()).then(|| {
        Value::List(
            text.split(separator.as_str()).map(|part| Value::Text(part.to_owned(), origin.clone())).collect(),
        )
    })
}

fn replaced(arguments: &[Value]) -> Option<String> {
    let [Value::Text(old, _), Value::Text(new, _), Value::Text(text, _)] = arguments else { return None };
    (!old.is_empty() && text.len() < MOST && new.len() < MOST).then(|| text.replace(old, new))
}

/// Characters of a text that is replaced in.
const MOST: usize = 4096;

/// Columns that a text is moved by.
const MOST_COLUMNS: usize = 200;

fn indented(on_new_line: bool, columns: &Value, text: &str) -> Option<String> {
    let Value::Text(columns, _) = columns else { return None };
    let blanks = " ".repeat(columns.parse::<usize>().ok()?.min(MOST_COLUMNS));
    let lines = text.lines().map(|line| format!("{blanks}{line}")).collect::<Vec<_>>().join("\n");
    Some(if on_new_line { format!("\n{lines}") } else { lines })
}
