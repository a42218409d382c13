//! Cargo does not see new migrations by itself: the macro that embeds them runs again when their folder changes.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
}
