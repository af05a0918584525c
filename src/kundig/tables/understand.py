"""Tables of `understand`: features, value, risk, segments, personas."""

from __future__ import annotations

from kundig.tables._declare import changed, clocks, col, fact, money, person, table

FEATURES = table(
    "understand", "features", "What a person did, as numbers: facts and windows of days, so that a row changes only when a fact comes or a window moves.", ("person_key",),
    person(),
    fact("orders", "int64", "Completed orders with goods left after returns."), fact("purchase_days", "int64", "Days with goods of a value above zero."),
    fact("first_order_day", "date", "First purchase day."), fact("last_order_day", "date", "Last purchase day; days since then are counted where they are used."),
    money("revenue", "Gross revenue ever, returns taken off."), money("net_revenue", "Net revenue ever."), money("order_value", "Net value of a purchase day, mean."),
    money("first_order_value", "Net value of the first purchase day."),
    fact("order_value_spread", "float64", "Standard deviation of the value of purchase days over its mean; null under two."),
    money("margin", "Net revenue less product cost, by line, catalogue or rate."), fact("gap_days", "float64", "Mean days between purchase days; null under two."),
    fact("regularity", "float64", "1 less the coefficient of variation of the gaps, floored at 0; null under three purchase days."),
    fact("returned_share", "float64", "Share of net goods value taken back."), fact("discount_share", "float64", "Discount over net value before discount."),
    fact("categories_seen", "int64", "Distinct categories bought."), fact("top_category", "string", "Most bought category."),
    fact("visits_30", "int64", "Visit days of the last 30 days."), fact("visits_365", "int64", "Visit days of the last 365 days."), fact("login_frequency", "float64", "Login days per 30 days over the last 90 days."),
    fact("last_visit_day", "date", "Last visit."), fact("messages_90", "int64", "Messages sent in the last 90 days."), fact("opens_90", "int64", "Opened ones."), fact("clicks_90", "int64", "Clicked ones."),
    fact("tickets", "int64", "Support cases ever."), fact("open_cases", "int64", "Support cases open."), fact("satisfaction", "float64", "Mean satisfaction, 1 to 5."),
    fact("nps", "float64", "Newest answer to the NPS question."), fact("subscriptions", "int64", "Running contracts."),
    fact("acquisition_channel", "string", "First channel that brought the person, as the profile says."),
    fact("first_fact_at", "timestamp", "First order, visit, message, case, answer or contract."), fact("last_fact_at", "timestamp", "Last of them."),
    col("due_at", "timestamp", "Next moment at which time alone changes the row."), changed(), subject="person_key", purpose="analytics",
)  # fmt: skip

LIFECYCLE_STATES = table(
    "understand", "lifecycle_states", "Where a person stands now.", ("person_key",),
    person(), fact("state", "string", "prospect, onboarding, active, loyal, at_risk, dormant or former."), col("since", "timestamp", "Since when; null for a prospect of whom no fact is known."),
    col("at_risk_at", "timestamp", "When silence makes, or made, the person at risk; null for prospects."), col("dormant_at", "timestamp", "When it makes the person dormant."),
    col("former_at", "timestamp", "When it makes the person a former customer."),
    col("due_at", "timestamp", "When silence alone changes the state."), changed(), subject="person_key", purpose="analytics",
)  # fmt: skip

LIFETIME_VALUES = table(
    "understand", "lifetime_values", "Expected future value of a person, as net present value, with two intervals.", ("person_key",),
    person(), col("as_of", "timestamp", "The beginning of the local day it holds for."), col("model", "string", "Model and version."),
    fact("probability_alive", "float64", "Probability to buy again ever."), fact("probability_purchase", "float64", "Probability of at least one purchase within the horizon."),
    fact("expected_purchases", "float64", "Expected purchases within the horizon."), money("expected_order_value", "Expected net value of a purchase."),
    money("expected_revenue", "Expected net revenue within the horizon, not discounted."),
    money("expected_value", "Net present value of margin less service, contact, return and payment cost."),
    money("expected_value_low", "5 % bound of the expected value (parameters only)."), money("expected_value_high", "95 % bound of it."),
    money("outcome_low", "5 % bound of what the person may in fact bring."), money("outcome_high", "95 % bound of it."),
    money("value_at_risk", "Expected value were the person surely alive, less the expected value."),
    money("contract_value", "Part of the expected value that running contracts bring."),
    money("acquisition_cost", "What advertising paid to win the person, by channel and month; null where no spend is known."),
    money("value_less_acquisition", "Expected value less the cost of acquisition; null where that is not known."),
    fact("next_purchase_at", "timestamp", "The beginning of the local day by whose end the person, if still a customer, has bought again with a probability of one half; null: the reason says why."),
    fact("next_purchase_reason", "string", "Why there is no such day: rather_gone, beyond_horizon or never_bought; null where there is one."),
    col("verdict", "string", "usable, weak or not_usable."), changed(), subject="person_key", purpose="analytics",
)  # fmt: skip

CONTRACT_VALUES = table(
    "understand", "contract_values", "What a person's running contracts are expected to bring within the horizon, as net present value; `lifetime_values` adds it.", ("person_key",),
    person(), col("as_of", "timestamp", "The beginning of the local day it holds for."), col("model", "string", "Model and version."),
    fact("contracts", "int64", "Running contracts."), col("next_renewal_at", "timestamp", "When the soonest of them is renewed; null where each has a known end."),
    fact("renewal_probability", "float64", "Probability that this renewal is made; null where there is none."),
    fact("expected_payments", "float64", "Expected payments within the horizon."), fact("expected_months", "float64", "Expected months that run within it, discounted."),
    money("expected_value", "Net present value of payments less goods and payment fees."), money("expected_value_low", "5 % bound of the expected value (parameters only)."), money("expected_value_high", "95 % bound of it."),
    money("outcome_low", "5 % bound of what the contracts may in fact bring."), money("outcome_high", "95 % bound of it."),
    money("value_at_risk", "Expected value were each renewal made, less the expected value."),
    col("verdict", "string", "usable, weak or not_usable."), changed(), subject="person_key", purpose="analytics",
)  # fmt: skip

TRAITS = table(
    "understand", "traits", "What is known of a person beside the columns of `profiles`: computed traits, and the attributes that profiles.yaml declares.", ("person_key", "trait"),
    person(), col("trait", "string", "Name of the trait (`traits/<name>.yaml`) or attribute (profiles.yaml)."), fact("value", "string", "Its value as text; null: there is none, and time alone may bring one.", "sensitive"),
    col("category", "string", "sociodemographic, behavioural or psychographic, as declared."),
    col("last_fact_at", "timestamp", "When the newest fact that counts happened; null: a rule."), col("due_at", "timestamp", "Next moment at which time alone may change it."), changed(),
    subject="person_key", purpose="analytics",
)  # fmt: skip

SCORES = table(
    "understand", "scores", "Scores of models, long, with history.", ("person_key", "model", "occurred_at"),
    person(), col("model", "string", "Name of the prediction."), fact("value", "float64", "Calibrated probability; null: the person is not of the prediction's population now."),
    fact("percentile", "float64", "Share of the population at the last fit that lies below, 0 to 100."), *clocks(), col("until", "timestamp", "When it lapses."), col("version", "string", "Model version."), col("seq", "int64", "Order among rows of one instant."), changed(),
    subject="person_key", purpose="analytics", retention_days=395,
)  # fmt: skip

URGENCY = table(
    "understand", "urgency", "Value at stake × rise of the loss within the next decision window.", ("person_key",),
    person(), money("value_at_stake", "Value that may be lost."), fact("loss_rise", "float64", "Rise of the probability of loss within the window."),
    fact("urgency", "float64", "Their product, in the workspace's currency."), fact("rank", "int64", "1 is the most urgent."), fact("reason", "string", "Reason code."), changed(),
    subject="person_key", purpose="analytics",
)  # fmt: skip

SEGMENT_MEMBERS = table(
    "understand", "segment_members", "Which cell of the matrix (or rule segment) a person is in, with history.", ("person_key", "segment_id", "occurred_at"),
    person(), fact("segment_id", "string", "Row of persona_matrix.csv, or a rule segment."), fact("value_tier", "string", "Tier."), fact("behavior_cluster", "string", "Cluster."),
    fact("state", "string", "State."), fact("member", "bool", "True on entering, false on leaving."), *clocks(), col("until", "timestamp", "When membership lapses by itself."),
    col("seq", "int64", "Order among rows of one instant."), col("due_at", "timestamp", "When time alone may change it."), changed(), subject="person_key", purpose="marketing",
)  # fmt: skip

RULE_MEMBERS = table(
    "understand", "rule_members", "Who is in the segments that rules define (segments/rules), and whom time alone may bring into them.", ("person_key", "segment"),
    person(), fact("segment", "string", "Name of the segment: the file's."), fact("member", "bool", "In it now; false: not yet, or not any more, and time alone may change it."),
    col("due_at", "timestamp", "When time alone may change it."), changed(), subject="person_key", purpose="marketing",
)  # fmt: skip

LIST_MEMBERS = table(
    "understand", "list_members", "Members of lists kept by hand, with history.", ("person_key", "list", "occurred_at"),
    person(), col("list", "string", "Name of the list."), col("member", "bool", "On it or off it."), *clocks(), col("until", "timestamp", "Until when."), col("seq", "int64", "Order."), changed(),
    subject="person_key", purpose="marketing",
)  # fmt: skip

PERSONAS = table(
    "understand", "personas", "Groups found in the data, and those that people tell; what a card of each says.", ("persona_id",),
    col("persona_id", "string", "Id: the file's name and a number; the same at each refit as long as it is the same people."), col("file", "string", "File that asks for it."),
    col("name", "string", "Name people gave it, else the id."), col("origin", "string", "found (in the data) or told (personas/answers)."), col("size", "int64", "Persons now."),
    col("share", "float64", "Share of its population."), col("value", "decimal(18,4)", "Mean expected value of a person; null where none has one."),
    col("recovered", "float64", "Share of it that a search on other persons finds too, 0 to 1; null for told ones."), col("stability", "float64", "Agreement of two searches on different persons (adjusted Rand index)."),
    col("channel", "string", "Channel that brings most of them."), col("hour", "float64", "Median hour of day at which they come, local."), col("content", "string", "Category most of them buy, against others."),
    col("objection", "string", "What speaks most against buying: price, doubts, service, attention, decision or none."), col("next_steps", "string", "What marketing and sales do next, as a code."),
    col("rule", "string", "A readable rule."), col("rule_tests", "json", "Its tests: attribute, how, value."), col("rule_precision", "float64", "Share of those the rule finds that are of the persona."), col("rule_recall", "float64", "Share of the persona that the rule finds."),
    col("segment_id", "string", "Row of persona_matrix.csv that most of them are in."), col("segment_share", "float64", "Share of them in it."),
    col("drift", "string", "What changed since the fit before, as a code: new, grown, shrunk or steady."), col("share_before", "float64", "Share at the fit before."),
    col("claims", "json", "Of told ones: what was said beforehand, what the data say, and whether they agree."), col("persons", "int64", "Persons of its population."),
    col("verdict", "string", "Verdict on the finding: usable or weak."), col("reason", "string", "Why."), col("model", "string", "Model and version."), col("found_at", "timestamp", "When found."),
)  # fmt: skip

PERSONA_ATTRIBUTES = table(
    "understand", "persona_attributes", "What sets a persona apart, weighted by relevance.", ("persona_id", "attribute", "level"),
    col("persona_id", "string", "Persona."), col("attribute", "string", "Attribute."), col("level", "string", "Value or band."), col("weight", "float64", "Relevance: share of what sets the persona apart."),
    col("share", "float64", "Share within the persona, of those known."), col("share_elsewhere", "float64", "Share among the others of its population."), col("used", "bool", "Whether personas were looked for by it."),
)  # fmt: skip

PERSONA_MEMBERS = table(
    "understand", "persona_members", "Which persona a person belongs to, and how surely: one row per file of personas.", ("person_key", "persona_id"),
    person(), col("persona_id", "string", "Persona."), fact("probability", "float64", "Probability; 1 for told ones."), changed(), subject="person_key", purpose="marketing",
)  # fmt: skip

PERSONA_STREAM = table(
    "understand", "persona_stream", "What each persona does from day to day since its fit, and whether it still does what it did.", ("persona_id", "measure"),
    col("persona_id", "string", "Persona."), col("measure", "string", "visits and purchases (share of its members a day), order_value (of a buyer's day), hour (first sign of a day, local) or opens (opened messages by those sent)."),
    fact("days", "int64", "Days read."), fact("at_fit", "float64", "Mean of the days up to the fit; null: too few of them."), fact("now", "float64", "Mean of the newest days that are alike."),
    col("since", "date", "First of these days, where it changed after the fit."), fact("level", "string", "risen, fallen, steady, or unknown (too few days before the fit, or none after)."),
)  # fmt: skip

LEAD_LOG = table(
    "understand", "lead_log", "What sales did with leads and what came of it: append only, the last entry holds.", ("entry_id",),
    col("entry_id", "string", "Number in the order of writing."), col("identifier_key", "int64", "An identifier of the lead; who that is, identities say.", "pseudonym"),
    col("owner", "string", "Who has the lead from now on; null: as before."), col("status", "string", "assigned, contacted, qualified, won, lost or wrong_fit."),
    col("reason", "string", "Why, in a person's words."), col("actor", "string", "Who wrote it."), col("occurred_at", "timestamp", "When."), subject="identifier_key", home="state", purpose="crm",
)  # fmt: skip

LEAD_RATES = table(
    "understand", "lead_rates", "What came of leads, counted by what was known when sales took them over: the feedback that corrects scores.", ("level", "persona", "fit_band", "source", "band"),
    col("level", "string", "fit, source (fit and source), or band (fit, source and engagement)."), col("persona", "string", "Persona of best fit; '' where nothing fits."), col("fit_band", "float64", "Fit, rounded down to quarters."),
    col("source", "string", "Source of the lead; '' where it is not told apart."), col("band", "string", "Engagement: low, middle, high; '' where it is not told apart."),
    fact("feedbacks", "int64", "Leads that were won, lost or no fit."), fact("won", "int64", "Those won."),
)  # fmt: skip

LEAD_SCORES = table(
    "understand", "lead_scores", "Fit to a persona × engagement, corrected by what came of leads alike.", ("person_key",),
    person(), col("persona", "string", "Persona of best fit; '' where nothing fits."), fact("source", "string", "Source of the newest lead record."), col("arrived_at", "timestamp", "First lead record, else first sign of the person."),
    fact("fit", "float64", "Share of what the persona asks that holds, 0 to 1."), fact("met", "string", "What holds: attributes, each ending in a comma."), fact("unmet", "string", "What does not hold."), fact("unknown", "string", "What is not known."),
    fact("points", "float64", "Points of the events in the window."), fact("engagement", "float64", "(1 + points) / (1 + points + half), 0 to 1."), fact("band", "string", "Engagement: low (below 1/3), middle, high (from 2/3)."),
    fact("prior", "float64", "Fit × engagement: what is believed without feedback."), fact("feedbacks", "int64", "Feedbacks on leads of the same persona, fit, source and engagement."), fact("rate", "float64", "Share of them won; null without any."),
    fact("score", "float64", "Fit × engagement, pulled towards the share won among leads alike."), col("owner", "string", "Sales owner."),
    col("status", "string", "new, deal (one is open), assigned, contacted, qualified, won, lost or wrong_fit."), col("due_at", "timestamp", "When a day leaves the window."), changed(), subject="person_key", purpose="crm",
)  # fmt: skip

MODELS = table(
    "understand", "models", "Every fit: parameters, what it was fitted on, and its own verdict.", ("model", "version"),
    col("model", "string", "Name."), col("version", "string", "Hash of inputs, code and parameters."), col("fitted_at", "timestamp", "As-of moment of the fit."),
    col("parameters", "json", "Parameters and their standard errors; no personal value ever goes in here."), col("inputs", "json", "What it rests on: persons, purchase days, first and last day; `runs` has the versions of the tables."), col("observations", "int64", "Persons or rows fitted on."),
    col("log_likelihood", "float64", "Log-likelihood."), col("verdict", "string", "usable, weak or not_usable; of personas also none."), col("reason", "string", "Why."), col("holdout", "json", "Figures of the holdout check."),
)  # fmt: skip

PERSONA_MODELS = table(
    "understand", "persona_models", "Every fit of personas: how persons are placed, what each persona is told by, and the verdict.", ("model", "version"), *MODELS.columns,
)  # fmt: skip

PREDICTION_MODELS = table(
    "understand", "prediction_models", "Every fit of a prediction, and every look at its drift: the model, its report, and whether it stands.", ("model", "version", "fitted_at"),
    *MODELS.columns, col("role", "string", "champion: scores come from it; challenger: fitted and not better; watched: no fit, only the drift of the champion."),
    col("drift", "json", "Population stability index of the probability and each feature, between what the champion was trained on and this moment."),
    col("fingerprint", "string", "Hash of what the file asks for and of how features are made: a model of another one is not used."),
)  # fmt: skip

USE_CASES = table(
    "understand", "use_cases", "Use cases (usecases/*.yaml), each with its goal and whether it was reached.", ("use_case",),
    col("use_case", "string", "Name."), col("problem", "string", "Problem."), col("metric", "string", "Goal metric: a KPI."), col("member", "string", "Member of the KPI's split; null: all."),
    col("direction", "string", "at_least or at_most."), col("target", "float64", "Target."), col("until", "date", "Day by which."), col("status", "string", "running, or done once that day is over."),
    col("value", "float64", "Value of the KPI that it is judged by."), col("low", "float64", "5 % bound of it; null: it is exact, or none is known."), col("high", "float64", "95 % bound."), col("unit", "string", "Unit of the KPI."),
    col("period_start", "date", "First day of the period judged."), col("answer", "string", "Did we reach the goal? reached, not_reached, open (the interval holds the target), or null."), col("reason", "string", "Why there is no answer; else ''."),
    col("prediction", "string", "Prediction that serves it."), col("audience", "string", "Audience that serves it."), col("experiment", "string", "Experiment that judges it."),
)  # fmt: skip

UNDERSTAND = (
    FEATURES, LIFECYCLE_STATES, CONTRACT_VALUES, LIFETIME_VALUES, TRAITS, SCORES, URGENCY, SEGMENT_MEMBERS, RULE_MEMBERS, LIST_MEMBERS, PERSONAS, PERSONA_ATTRIBUTES, PERSONA_MEMBERS, PERSONA_STREAM, LEAD_LOG, LEAD_RATES, LEAD_SCORES, MODELS, PERSONA_MODELS, PREDICTION_MODELS, USE_CASES,
)  # fmt: skip
