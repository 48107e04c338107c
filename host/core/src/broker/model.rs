//! `model`: questions to language models that the operator set up. The most that one can come to is taken from
//! the budget before it is sent, and what it did not come to is given back.

use std::sync::Arc;

use stockade_ipc::{Delegated, HttpFault, ModelRequest, ModelResponse};
use stockade_policy::{Ask, Budget, stands};

use super::{Broker, Delegation};
use crate::egress::{Event, Exchange, Order};
use crate::model::{Reckoned, Said, never_asked};
use crate::trail::{Trail, Unrecorded};

/// A question that came to nothing else.
const ASKED: Budget = Budget { tool_calls: 0, model_calls: 1, tokens: 0, cost: 0, http_bytes: 0 };

impl Broker {
    pub(super) async fn ask_model(
        &self,
        request: &ModelRequest,
        spent: &mut Budget,
        trail: &Arc<Trail>,
    ) -> Result<Delegated, Unrecorded> {
        let others = &self.delegation;
        let ask = Ask::Model { name: &request.model };
        let Some(rule) = self.allowed(&ask, trail)? else { return Ok(Delegated::Denied) };
        let unavailable = |why: &str| Ok(Delegated::Unavailable(why.to_owned()));
        // Every granted model was made ready when the plugin was loaded.
        let Some(model) = others.models.get(&request.model) else { return unavailable("it was not set up") };
        let (Some(page), Some(left)) = (&others.page, others.left(*spent)) else {
            return unavailable("the ledger does not work");
        };
        let question = match model.question(request, if stands("model.left") { left } else { page.per_call })
        {
            Ok(question) => question,
            Err(unit) => {
                let of = if page.per_call.less(*spent).get(unit) <= left.get(unit) { "call" } else { "day" };
                return self.exhausted(&ask, unit, of, trail);
            }
        };
        let order = match model.order(request, &question) {
            Ok(order) => order,
            Err(why) => return Ok(Delegated::Invalid(why)),
        };
        let held = match page.hold(question.most) {
            None => return unavailable("the ledger does not work"),
            Some(Err(unit)) => return self.exhausted(&ask, unit, "day", trail),
            Some(Ok(held)) => held,
        };
        let before = *spent;
        *spent = before.and(question.most);
        trail.allowed(&ask, &rule)?;
        let (came_to, told) = match exchanged(others, order, trail).await? {
            Ok((status, body)) => {
                let Reckoned { came_to, said } = model.reckon(&question, status, body);
                (came_to, told(said, came_to.cost))
            }
            // What was sent and not answered may be billed all the same.
            Err(fault) => (if never_asked(fault) { ASKED } else { question.most }, unanswered(fault)),
        };
        *spent = before.and(came_to);
        page.settle(&held, came_to);
        trail.reckoned(&ask, came_to)?;
        Ok(told)
    }
}

/// Sends a request and waits for the whole of its response.
async fn exchanged(
    others: &Delegation,
    order: Order,
    trail: &Arc<Trail>,
) -> Result<Result<(u16, Vec<u8>), HttpFault>, Unrecorded> {
    let egress = Arc::clone(&others.egress);
    let Ok(runtime) = egress.runtime().cloned() else { return Ok(Err(HttpFault::Unreachable)) };
    let mut exchange = Exchange::start(&runtime, egress, order, Arc::clone(trail));
    let (mut status, mut body) = (0, Vec::new());
    loop {
        std::future::poll_fn(|cx| exchange.poll_event(cx)).await;
        match exchange.next() {
            Some(Event::Head { status: came, .. }) => status = came,
            Some(Event::Body(block)) => body.extend_from_slice(&block),
            Some(Event::End(_)) => return Ok(Ok((status, body))),
            Some(Event::Failed(fault)) => return Ok(Err(fault)),
            Some(Event::Unrecorded(error)) => return Err(error),
            None => {}
        }
    }
}

fn told(said: Said, cost: u64) -> Delegated {
    match said {
        Said::Answer { reply, cut, input_tokens, output_tokens } => {
            Delegated::Answered(ModelResponse { reply, cut, input_tokens, output_tokens, cost })
        }
        Said::Failed(why) => Delegated::Failed(why),
    }
}

fn unanswered(fault: HttpFault) -> Delegated {
    let why = match fault {
        fault if never_asked(fault) => "its endpoint is not reached",
        HttpFault::ResponseTimeout | HttpFault::ReadTimeout => "its endpoint did not answer in time",
        HttpFault::ResponseBodySize => "its answer is too long",
        _ => "its endpoint broke off",
    };
    Delegated::Unavailable(why.to_owned())
}
