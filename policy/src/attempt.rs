use crate::{Ask, Capability, GuestPath, HttpScheme, HttpTarget, Scope};

/// An [`Ask`] that stands by itself, as records and people write it: an operation and its resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A path.
    Path(Capability, GuestPath),
    /// A request.
    Http(HttpTarget),
    /// A secret, and the request that it is to be filled into.
    Secret(String, HttpTarget),
    /// A configuration key, a tool or a model.
    Named(Capability, String),
    /// What has no resource.
    Whole(Capability),
    /// A socket, which nothing grants.
    Socket,
}

/// Why an operation and a resource are no attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// No such operation.
    #[error("there is no operation {0:?}")]
    Operation(String),
    /// The resource is none of it.
    #[error("{resource:?} is no resource of {operation}: write {expected}")]
    Resource {
        /// The operation.
        operation: String,
        /// What was written.
        resource: String,
        /// What it looks like.
        expected: &'static str,
    },
}

/// `GET https://api.example.org/v1`, as records have it.
fn target(text: &str) -> Option<HttpTarget> {
    let (method, url) = text.split_once(' ')?;
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "https" => HttpScheme::Https,
        "http" => HttpScheme::Http,
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    HttpTarget::parse(method, scheme, authority, path).ok()
}

impl Attempt {
    /// Reads an operation's name and its resource.
    pub fn parse(operation: &str, resource: &str) -> Result<Attempt, AttemptError> {
        if operation == "socket" {
            return Ok(Self::Socket);
        }
        let capability: Capability =
            operation.parse().map_err(|_| AttemptError::Operation(operation.to_owned()))?;
        let attempt = match capability {
            Capability::FsRead | Capability::FsWrite | Capability::FsCreate | Capability::FsDelete => {
                GuestPath::parse(resource).ok().map(|path| Self::Path(capability, path))
            }
            Capability::Http => target(resource).map(Self::Http),
            Capability::Secret => resource
                .split_once('@')
                .and_then(|(name, to)| Some(Self::Secret(name.to_owned(), target(to)?))),
            Capability::Config | Capability::Tool | Capability::Model => {
                (!resource.is_empty()).then(|| Self::Named(capability, resource.to_owned()))
            }
            Capability::Kv | Capability::Log | Capability::Clock | Capability::Random => {
                resource.is_empty().then_some(Self::Whole(capability))
            }
        };
        attempt.ok_or_else(|| AttemptError::Resource {
            operation: operation.to_owned(),
            resource: resource.to_owned(),
            expected: match capability {
                Capability::Http => "METHOD URL, as \"GET https://api.example.org/v1\"",
                Capability::Secret => "NAME@METHOD URL, as \"token@GET https://api.example.org/v1\"",
                Capability::Config => "a key, as \"region\"",
                other => other.expects(),
            },
        })
    }

    /// As it is decided.
    pub fn ask(&self) -> Ask<'_> {
        match self {
            Self::Path(Capability::FsWrite, path) => Ask::FsWrite { path },
            Self::Path(Capability::FsCreate, path) => Ask::FsCreate { path },
            Self::Path(Capability::FsDelete, path) => Ask::FsDelete { path },
            Self::Path(_, path) => Ask::FsRead { path },
            Self::Http(target) => Ask::Http { target },
            Self::Secret(name, target) => Ask::Secret { name, target },
            Self::Named(Capability::Config, key) => Ask::Config { key },
            Self::Named(Capability::Tool, name) => Ask::Tool { name },
            Self::Named(_, name) => Ask::Model { name },
            Self::Whole(Capability::Kv) => Ask::Kv,
            Self::Whole(Capability::Clock) => Ask::Clock,
            Self::Whole(Capability::Random) => Ask::Random,
            Self::Whole(_) => Ask::Log,
            Self::Socket => Ask::Socket,
        }
    }

    /// The smallest scope that opens it; none where nothing does. A path is opened with the directory that it is in,
    /// since directories are what is granted; one that is in the root itself is taken for a directory.
    pub fn smallest(&self) -> Option<Scope> {
        let of = |target: &HttpTarget| {
            let scheme = match target.scheme() {
                HttpScheme::Https => "",
                HttpScheme::Http => "http://",
            };
            let path = target.path_with_query();
            let path = path.split('?').next().unwrap_or_default();
            let path = if path == "/" { "" } else { path };
            format!("{} {scheme}{}{path}", target.method(), target.authority())
        };
        match self {
            Self::Path(capability, path) => {
                let text = path.as_str();
                let parent = text.rfind('/').map(|slash| &text[..slash]).filter(|parent| !parent.is_empty());
                Scope::of(*capability, Some(parent.unwrap_or(text))).ok()
            }
            Self::Http(target) => Scope::of(Capability::Http, Some(&of(target))).ok(),
            Self::Secret(name, target) => {
                Scope::of(Capability::Secret, Some(&format!("{name}@{}", of(target)))).ok()
            }
            Self::Named(capability, name) => Scope::of(*capability, Some(name)).ok(),
            Self::Whole(capability) => Scope::of(*capability, None).ok(),
            Self::Socket => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_names_is_read_back_and_opened_by_its_smallest_scope() {
        for (operation, resource, scope) in [
            ("fs.read", "/src/a/b.rs", "fs.read:/src/a"),
            ("fs.write", "/b", "fs.write:/b"),
            ("fs.read", "/", "fs.read:/"),
            ("http", "GET https://api.example.org/v1/x", "http:GET api.example.org/v1/x"),
            ("http", "POST http://[::1]:8080/", "http:POST http://[::1]:8080"),
            ("secret", "token@GET https://api.example.org/", "secret:token@GET api.example.org"),
            ("config", "region", "config:region"),
            ("tool", "a/b#c", "tool:a/b#c"),
            ("kv", "", "kv"),
        ] {
            let attempt = Attempt::parse(operation, resource).unwrap();
            assert_eq!(attempt.ask().operation(), operation);
            let smallest = attempt.smallest().unwrap();
            assert_eq!(smallest.to_string(), scope, "{operation} {resource}");
        }
        assert_eq!(Attempt::parse("socket", "").unwrap().smallest(), None);
        for (operation, resource) in [
            ("fs.read", "src"),
            ("http", "https://a.org"),
            ("kv", "x"),
            ("fly", ""),
            ("config", ""),
            ("secret", "a"),
        ] {
            assert!(Attempt::parse(operation, resource).is_err(), "{operation} {resource}");
        }
    }
}
