"""Tables of `measure`: KPIs, journeys, attribution, cohorts, experiments, and what follows from them."""

from __future__ import annotations

from kundig.tables._declare import changed, col, fact, money, person, table

TOUCHPOINTS = table(
    "measure", "touchpoints", "Events, ad contacts and messages seen as contacts of a channel.", ("touch_id",), col("touch_id", "string", "Id.", "pseudonym"), person(), col("occurred_at", "timestamp", "When."), col("local_day", "date", "Day."),
    fact("channel", "string", "Channel."), fact("medium", "string", "paid, owned or earned."), fact("campaign", "string", "Campaign."), fact("kind", "string", "impression, click, visit, message."), changed(),
    subject="person_key", purpose="analytics", retention_days=1_095,
)  # fmt: skip

KPIS = table(
    "measure", "kpis", "One value a KPI, period and split; a null value has its reason.", ("kpi", "period", "period_start", "dimension", "member"),
    col("kpi", "string", "KPI (`metrics/<name>.yaml`)."), col("layer", "string", "topline, experience, action or guardrail."), col("period", "string", "day, week, month, quarter, year or total."), col("period_start", "date", "First day of the period."),
    col("dimension", "string", "'' for all, else channel, segment_id, creative variable, …"), col("member", "string", "'' or the member."), col("value", "float64", "Value; null when it cannot be known."), col("low", "float64", "5 % bound; null when exact."), col("high", "float64", "95 % bound."),
    col("numerator", "float64", "What was counted."), col("denominator", "float64", "Of what."), col("unit", "string", "currency, share, count, days."), col("reason", "string", "Reason code of a null; else ''."), col("basis", "string", "What the number rests on, in words of the catalogue."),
)  # fmt: skip

METRIC_TREE = table(
    "measure", "metric_tree", "Which KPI drives which.", ("kpi", "driver"), col("kpi", "string", "KPI."), col("driver", "string", "Driver."), col("relation", "string", "How."),
)  # fmt: skip

JOURNEYS = table(
    "measure", "journeys", "Paths through stages, counted.", ("journey", "path"), col("journey", "string", "Journey."), col("path", "string", "Path."), col("persons", "int64", "Persons."), col("conversions", "int64", "Conversions."), money("value", "Value."),
)  # fmt: skip

PATH_EDGES = table(
    "measure", "path_edges", "Steps from one touch to the next, counted.", ("journey", "from_node", "to_node"), col("journey", "string", "Journey."), col("from_node", "string", "From."), col("to_node", "string", "To."), col("persons", "int64", "Persons."), col("median_seconds", "float64", "Median time between."),
)  # fmt: skip

FRICTION = table(
    "measure", "friction", "Where people fall out.", ("journey", "stage"), col("journey", "string", "Journey."), col("stage", "string", "Stage."), col("entered", "int64", "Entered."), col("left", "int64", "Left."), money("value_lost", "Value lost."),
)  # fmt: skip

ATTRIBUTIONS = table(
    "measure", "attributions", "Credit per channel and model.", ("model", "channel", "campaign"), col("model", "string", "Model."), col("channel", "string", "Channel."), col("campaign", "string", "Campaign; '' for all."), col("credit", "float64", "Share of conversions."), col("low", "float64", "5 % bound."), col("high", "float64", "95 % bound."),
    money("value", "Value."), col("label", "string", "credit or effect; confounded."),
)  # fmt: skip

COHORTS = table(
    "measure", "cohorts", "Customers by month of first purchase, followed by month.", ("cohort", "month"), col("cohort", "date", "Month of first purchase."), col("month", "int64", "Months since."), col("persons", "int64", "Size of the cohort."), col("active", "int64", "Bought in that month."), money("net", "Net revenue."),
)  # fmt: skip

EXPERIMENT_RESULTS = table(
    "measure", "experiment_results", "What a test says today.", ("experiment", "variant", "metric"), col("experiment", "string", "Experiment."), col("variant", "string", "Variant."), col("metric", "string", "Metric."), col("persons", "int64", "Persons."), col("value", "float64", "Value."), col("effect", "float64", "Effect against control."),
    col("low", "float64", "Bound."), col("high", "float64", "Bound."), col("verdict", "string", "Verdict."),
)  # fmt: skip

RULE_FIRINGS = table(
    "measure", "rule_firings", "Decision rules that fired.", ("rule", "fired_at"), col("rule", "string", "Rule."), col("fired_at", "timestamp", "When."), col("evidence", "json", "What it rests on."), col("action", "string", "What follows."),
)  # fmt: skip

ALERTS = table(
    "measure", "alerts", "Thresholds crossed.", ("alert_id",), col("alert_id", "string", "Id."), col("kpi", "string", "KPI."), col("period_start", "date", "Period."), col("value", "float64", "Value."), col("threshold", "float64", "Threshold."), col("severity", "string", "Severity."),
)  # fmt: skip

INCIDENTS = table(
    "measure", "incidents", "One open incident a crossed threshold.", ("incident_id",), col("incident_id", "string", "Id."), col("kpi", "string", "KPI."), col("opened_at", "timestamp", "Opened."), col("closed_at", "timestamp", "Closed."), col("status", "string", "Status."), col("owner", "string", "Owner."), home="state",
)  # fmt: skip

FINDINGS = table(
    "measure", "findings", "What was learnt.", ("finding_id",), col("finding_id", "string", "Id."), col("finding", "string", "Finding."), col("segment_id", "string", "Segment."), col("creative_variable", "string", "Variable."), col("measure", "string", "What to do."), col("priority", "string", "Priority."), col("status", "string", "Status."),
)  # fmt: skip

MEASURE = (TOUCHPOINTS, KPIS, METRIC_TREE, JOURNEYS, PATH_EDGES, FRICTION, ATTRIBUTIONS, COHORTS, EXPERIMENT_RESULTS, RULE_FIRINGS, ALERTS, INCIDENTS, FINDINGS)
