//! A private PostgreSQL for the tests: Debian's binaries, one server per test process, one database per test.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

/// Makes an empty database and says how to connect to it.
///
/// # Panics
/// Where PostgreSQL is not installed, or does not start.
pub async fn database() -> PgConnectOptions {
    static N_DATABASES: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}", N_DATABASES.fetch_add(1, Ordering::Relaxed));
    let server = PgConnectOptions::new_without_pgpass().socket(&Server::get().dir).username("tidegate");
    let mut connection = PgConnection::connect_with(&server.clone().database("postgres")).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    server.database(&name)
}

/// The server of this process.
struct Server {
    /// Of its socket and its data.
    dir: PathBuf,
    /// Watches over it, see [`GUARD`].
    _guard: Child,
}

/// Starts the server in `$1` with the binaries in `$2`, says `ready`, and waits for the end of its input: that comes
/// when the test process ends, however it ends. PostgreSQL refuses to run as root, hence `setpriv`. The linguistic
/// collation is there to show that ours does not depend on it. Nothing is synced: these data need not survive.
const GUARD: &str = r#"
    trap '' INT TERM HUP
    dir=$1 bin=$2 as=
    if [ "$(id -u)" = 0 ]; then
        user=postgres
        id -u "$user" >/dev/null 2>&1 || user=nobody
        chown "$user" "$dir"
        as="setpriv --reuid=$(id -u "$user") --regid=$(id -g "$user") --clear-groups"
    fi
    cd "$dir"
    $as "$bin/initdb" --pgdata=data --username=tidegate --auth=trust --encoding=UTF8 --no-sync \
        --locale=C.UTF-8 --locale-provider=icu --icu-locale=en >initdb.log 2>&1 || { cat initdb.log; rm -rf "$dir"; exit 1; }
    $as "$bin/pg_ctl" start --pgdata=data --wait --silent --log="$dir/data/log" --options="-k $dir -c listen_addresses= \
        -c max_connections=200 -c fsync=off -c full_page_writes=off -c synchronous_commit=off" </dev/null >start.log 2>&1 \
        || { cat start.log data/log; rm -rf "$dir"; exit 1; }
    echo ready
    cat >/dev/null
    $as "$bin/pg_ctl" stop --pgdata=data --mode=immediate --silent
    rm -rf "$dir"
"#;

impl Server {
    fn get() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    fn start() -> Self {
        let bin = binaries();
        let dir = tempfile::Builder::new().prefix("tidegate-postgres-").tempdir().unwrap().keep();
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .args([&dir, &bin])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(guard.stdout.take().unwrap());
        let mut said = String::new();
        output.read_line(&mut said).unwrap();
        if said != "ready\n" {
            output.read_to_string(&mut said).unwrap();
            panic!("PostgreSQL of `{}` did not start:\n{said}", bin.display());
        }
        Self { dir, _guard: guard }
    }
}

/// The newest version that Debian has installed.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .max()
        .map(|(_, bin)| bin)
        .expect("PostgreSQL is not in /usr/lib/postgresql: install it with `apt-get install postgresql`")
}
