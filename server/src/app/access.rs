//! The one place that says who may do what.

use super::{AppError, Principal, Role};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read anything in a project but secrets.
    Read,
    /// Create, change or archive flags and segments.
    Edit,
    /// Kill flags and lift kills.
    Operate,
    /// Change a project, its environments, SDK keys and members.
    Administer,
    /// Make projects, users and instance tokens; read the whole audit log.
    AdministerInstance,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Edit => "edit",
            Self::Operate => "operate",
            Self::Administer => "administer",
            Self::AdministerInstance => "administerInstance",
        })
    }
}

/// Whether `principal` may do `action`, in `project` where there is one.
///
/// # Errors
/// [`AppError::NotFound`] where the principal has no role in the project (its existence is no news to them), else
/// [`AppError::Forbidden`] with the role that is needed.
pub fn authorize(principal: &Principal, action: Action, project: Option<&str>) -> Result<(), AppError> {
    if principal.instance_admin {
        return Ok(());
    }
    let needed = match action {
        Action::Read => Role::Viewer,
        Action::Edit => Role::Editor,
        Action::Operate => Role::Operator,
        Action::Administer => Role::Admin,
        Action::AdministerInstance => {
            return Err(AppError::Forbidden { needed: "instance administrator".to_owned() });
        }
    };
    let Some(project) = project else {
        return Err(AppError::Forbidden { needed: "instance administrator".to_owned() });
    };
    match principal.roles.get(project) {
        None => Err(AppError::NotFound { what: format!("project `{project}`") }),
        Some(role) if *role >= needed => Ok(()),
        Some(_) => Err(AppError::Forbidden { needed: format!("{needed:?}").to_lowercase() }),
    }
}
