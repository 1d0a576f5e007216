mod users;

fn main() -> std::io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("users") => users::run(),
        _ => Ok(()),
    }
}
