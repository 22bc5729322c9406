//! Development only.
#[path = "../tests/differential/mod.rs"]
mod differential;
use std::io::{Read, Write};
use kubiya_policies::sops::store::{read, Format, StoreSettings};
use kubiya_policies::sops::tree::*;
fn walk(b: &Branch, p: &mut Vec<String>, out: &mut String) {
    for i in &b.items { match i { Item::Comment(c) => out.push_str(&format!("{}|{}\n", p.join(":"), c.text)), Item::Entry(k, v) => { p.push(k.clone()); val(v, p, out); p.pop(); } } }
}
fn val(t: &Tree, p: &mut Vec<String>, out: &mut String) {
    match t { Tree::Map(b) => walk(b, p, out), Tree::List(l) => for e in l { match e { Element::Comment(c) => out.push_str(&format!("{}|{}\n", p.join(":"), c.text)), Element::Value(t) => val(t, p, out) } }, Tree::Leaf(_) => {} }
}
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut out = std::io::stdout();
    if args[1] == "docs" {
        let n: u64 = args[2].parse().unwrap(); let seed: u64 = args[3].parse().unwrap();
        for (i, d) in differential::documents(n, seed).enumerate() { if i > 0 { out.write_all(&[0]).unwrap(); } out.write_all(&d).unwrap(); }
    } else if args[1] == "run" {
        let r = differential::run(args[2].parse().unwrap(), args[3].parse().unwrap());
        for f in r.failures.iter() { println!("{f}\n================"); }
        for ((s, w), c) in &r.counts { println!("{c:7} {s} {w}"); }
    } else {
        let mut b = Vec::new(); std::io::stdin().read_to_end(&mut b).unwrap();
        let mut s = String::new();
        for d in b.split(|c| *c == 0) {
            match read(Format::Yaml, d, StoreSettings::default()) { Ok(p) => for b in &p.documents { walk(b, &mut vec![], &mut s); }, Err(e) => s.push_str(&format!("ERR {}\n", e[0])) }
            s.push_str("--\n");
        }
        out.write_all(s.as_bytes()).unwrap();
    }
}
