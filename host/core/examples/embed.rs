//! A program with a plugin in it: `cargo run -p stockade-host --example embed -- PROGRAMS PLUGIN TREE`,
//! where PROGRAMS is the folder with `stockade-worker` and `stockade-compiler` (`target/dist` after
//! `cargo xtask build`), PLUGIN a plugin's folder (`examples/secret-scan`), and TREE what it may read.

use std::env::args;
use std::error::Error;
use std::time::Duration;

use stockade_host::{CallOptions, GrantRequest, Host, LoadRequest};
use stockade_package::Package;
use stockade_policy::GuestPath;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [_, programs, plugin, tree] = <[String; 4]>::try_from(args().collect::<Vec<_>>())
        .map_err(|_| "usage: embed PROGRAMS PLUGIN TREE")?;
    let state = std::env::temp_dir().join(format!("stockade-embed-{}", std::process::id()));

    // Checks the machine and the programs; fails where a layer of the sandbox is missing.
    let host = Host::builder().programs_dir(programs).state_dir(&state).build()?;

    // Compiles the component in a process of its own, and starts a worker that is proved confined.
    let grant = GrantRequest::read_tree(tree, GuestPath::parse("/src")?);
    let plugin = host.load(LoadRequest::new(Package::open(plugin, None)?).grant(grant)).await?;

    let options = CallOptions::within(Duration::from_secs(30));
    let outcome = plugin.call("scan", r#"{"path":"/src"}"#, options).await;
    match outcome.value {
        Some(report) => println!("{report}"),
        None => eprintln!("{:?}: {:?}", outcome.status, outcome.reason),
    }
    println!("refusals: {:?}, log: {}", outcome.denials, state.join("audit").display());
    host.stop().await;
    Ok(())
}
