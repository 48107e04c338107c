use serde::{Deserialize, Serialize};

/// What a plugin has others do for it: an amount, or a limit of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Calls of other plugins' tools.
    pub tool_calls: u64,
    /// Questions to models.
    pub model_calls: u64,
    /// Tokens that models read and write.
    pub tokens: u64,
    /// What models cost: millionths of the currency that the operator gives prices in.
    pub cost: u64,
    /// Bytes in the bodies of requests and of their responses.
    pub http_bytes: u64,
}

/// What a budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// [`Budget::tool_calls`].
    ToolCalls,
    /// [`Budget::model_calls`].
    ModelCalls,
    /// [`Budget::tokens`].
    Tokens,
    /// [`Budget::cost`].
    Cost,
    /// [`Budget::http_bytes`].
    HttpBytes,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 5] = [Self::ToolCalls, Self::ModelCalls, Self::Tokens, Self::Cost, Self::HttpBytes];

    /// Its one name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToolCalls => "tool_calls",
            Self::ModelCalls => "model_calls",
            Self::Tokens => "tokens",
            Self::Cost => "cost",
            Self::HttpBytes => "http_bytes",
        }
    }
}

impl Budget {
    /// So much of one unit.
    pub const fn get(&self, unit: Unit) -> u64 {
        match unit {
            Unit::ToolCalls => self.tool_calls,
            Unit::ModelCalls => self.model_calls,
            Unit::Tokens => self.tokens,
            Unit::Cost => self.cost,
            Unit::HttpBytes => self.http_bytes,
        }
    }

    /// Sets so much of one unit.
    pub const fn set(&mut self, unit: Unit, amount: u64) {
        *match unit {
            Unit::ToolCalls => &mut self.tool_calls,
            Unit::ModelCalls => &mut self.model_calls,
            Unit::Tokens => &mut self.tokens,
            Unit::Cost => &mut self.cost,
            Unit::HttpBytes => &mut self.http_bytes,
        } = amount;
    }

    /// What this limit leaves when so much is used.
    #[must_use]
    pub fn less(self, used: Budget) -> Budget {
        self.each(used, u64::saturating_sub)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Budget) -> Budget {
        self.each(other, u64::saturating_add)
    }

    /// What both allow.
    #[must_use]
    pub fn within(self, other: Budget) -> Budget {
        self.each(other, u64::min)
    }

    /// The first unit of which this has less than is wanted.
    pub fn lacks(&self, wanted: Budget) -> Option<Unit> {
        Unit::ALL.into_iter().find(|&unit| self.get(unit) < wanted.get(unit))
    }

    fn each(mut self, other: Budget, of: fn(u64, u64) -> u64) -> Budget {
        for unit in Unit::ALL {
            self.set(unit, of(self.get(unit), other.get(unit)));
        }
        self
    }
}
