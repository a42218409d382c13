//! Cargo does not see new files by itself: the macros that embed migrations and the admin UI run again when their
//! folders change.

fn main() {
    println!("cargo::rerun-if-changed=../migrations");
    // Debug builds read the UI from the disk. A folder that is not there would have them start over each time.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rerun-if-changed=../admin-ui/dist");
    }
}
