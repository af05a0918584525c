"""Tables of `unify`: identifiers become persons, records become profiles, the consent log becomes its fold."""

from __future__ import annotations

from kundig.tables._declare import changed, clocks, col, fact, money, person, table, trait

IDENTIFIERS = table(
    "unify", "identifiers", "Every identifier ever seen; written at landing.", ("identifier_key",),
    col("identifier_key", "int64", "md5 of 'namespace:value', first 15 hex digits as an integer.", "pseudonym"),
    col("namespace", "string", "email, phone, customer_id, anonymous_id, device_id, …"),
    col("value", "string", "Normalised value.", "contact"),
    col("first_at", "timestamp", "Earliest occurred_at of a record that carries it."), col("source", "string", "Source that brought it first."),
    subject="identifier_key",
)  # fmt: skip

LINKS = table(
    "unify", "links", "Edges between identifiers, with what they rest on.", ("left_key", "right_key", "evidence"),
    col("left_key", "int64", "Smaller identifier key.", "pseudonym"), col("right_key", "int64", "Larger identifier key.", "pseudonym"),
    col("evidence", "string", "Table and source of the records that carry both, or the model."),
    col("probability", "float64", "1 for a deterministic link."), col("first_at", "timestamp", "First record that carries both."),
    col("last_at", "timestamp", "Last one."), col("records", "int64", "How many records carry both."),
    col("status", "string", "used; handover: holds in its time only; or what refused it: blocked, hub_limit, overlap, shared, unique_conflict, contradicted, decided."),
    subject="left_key",
)  # fmt: skip

MATCH_MODELS = table(
    "unify", "match_models", "Models of how records of one person differ, each as it was fitted; the newest is used. Empty while matching is off.", ("version",),
    col("version", "string", "Hash of the parameters."), col("fitted_at", "timestamp", "As-of moment of the fit."),
    col("parameters", "json", "Shares of each level, and frequencies of values that many records have, by hash; no value of a single person."),
    col("records", "int64", "Records it was learnt from."), subject=None, purpose="operations",
)  # fmt: skip

RECORD_PAIRS = table(
    "unify", "record_pairs", "Pairs of records of people that were found alike by what they say. Empty while matching is off.", ("left_id", "right_id"),
    col("left_id", "string", "One record of `contacts`.", "pseudonym"), col("right_id", "string", "The other.", "pseudonym"),
    col("left_key", "int64", "Its strongest identifier; the smaller key of the two.", "pseudonym"), col("right_key", "int64", "That of the other.", "pseudonym"),
    col("weight", "float64", "log2 of the odds that both are one person's."), col("probability", "float64", "The same as a probability."),
    col("verdict", "string", "same: linked; ask: a question for people; household: two people with one surname and address."),
    col("evidence", "string", "What is alike and what differs, field by field."), col("since", "timestamp", "When the later of the two records was written."), col("model", "string", "Version of the model, and of the rules that proposed pairs."),
    subject="left_key",
)  # fmt: skip

IDENTITY_DECISIONS = table(
    "unify", "identity_decisions", "What people decided about who is who: append only, an undo is a row of its own.", ("decision_id",),
    col("decision_id", "string", "Number in the order of deciding."), col("kind", "string", "same, different, or undo."),
    col("left_key", "int64", "One identifier; the smaller key.", "pseudonym"), col("right_key", "int64", "The other.", "pseudonym"),
    col("undoes", "string", "The decision or merge that this one takes back."), col("reason", "string", "Why, in a person's words."), col("actor", "string", "Who decided."),
    col("decided_at", "timestamp", "When."), subject="left_key", home="state", purpose="crm",
)  # fmt: skip

IDENTITIES = table(
    "unify", "identities", "Which person an identifier belongs to, and when.", ("identifier_key", "valid_from"),
    col("identifier_key", "int64", "The identifier.", "pseudonym"), person(),
    col("valid_from", "timestamp", "From when (inclusive)."), col("valid_until", "timestamp", "Until when (exclusive); null: still."),
    col("shared", "bool", "A shared identifier: its anonymous events belong to nobody for sure."), changed(),
    subject="identifier_key",
)  # fmt: skip

MERGES = table(
    "unify", "merges", "The ledger: every merge and split, with its evidence; append only.", ("merge_id",),
    col("merge_id", "string", "Id."), col("kind", "string", "merge, split; or a decision of people: same, different, undo."), col("person_key", "int64", "Surviving person.", "pseudonym"),
    col("other_key", "int64", "The person that went into it, or came out of it.", "pseudonym"), col("evidence", "string", "What it rests on."),
    col("run_id", "int64", "The run."), col("occurred_at", "timestamp", "When."), subject="person_key",
)  # fmt: skip

PERSON_DAYS = table(
    "unify", "person_days", "The spine: what a person did a day, by event and channel.", ("person_key", "local_day", "event", "channel"),
    person(), col("local_day", "date", "Day in the workspace's zone."), fact("event", "string", "Event name."), fact("channel", "string", "Channel; '' if none."),
    fact("count", "int64", "How many."), money("value", "Sum of values."), col("first_at", "timestamp", "First of the day."), col("last_at", "timestamp", "Last of the day."),
    changed(), subject="person_key", purpose="analytics", retention_days=1_095,
)  # fmt: skip

MEASURE_DAYS = table(
    "unify", "measure_days", "A day's sums for each measure that a rule needs.", ("person_key", "local_day", "measure", "property"),
    person(), col("local_day", "date", "Day in the workspace's zone."), col("measure", "string", "Id of stream, names and filter."),
    col("property", "string", "Property summed; '' for the count of rows."), fact("count", "int64", "Rows, or values that are not null."),
    col("sum", "decimal(38,4)", "Sum."), col("minimum", "decimal(18,4)", "Least."), col("maximum", "decimal(18,4)", "Greatest."),
    col("first_at", "timestamp", "First."), col("last_at", "timestamp", "Last."), changed(), subject="person_key", purpose="analytics", retention_days=1_095,
)  # fmt: skip

TRAIT_CHANGES = table(
    "unify", "trait_changes", "History of each profile attribute after its merge strategy.", ("person_key", "trait", "occurred_at", "seq"),
    person(), col("trait", "string", "Attribute."), col("value", "string", "Value as text; null: gone.", "sensitive", "sociodemographic"), *clocks(),
    col("until", "timestamp", "When the value lapses by itself."), col("seq", "int64", "Order among rows of one instant."), col("source", "string", "Where it comes from."),
    col("record", "string", "The record, answer or identifier that said it.", "pseudonym"),
    changed(), subject="person_key", purpose="crm",
)  # fmt: skip

PROFILES = table(
    "unify", "profiles", "What is known of each person now.", ("person_key",),
    person(), col("person_id", "string", "Public id; never changes, resolves for ever.", "pseudonym"),
    trait("salutation", "string", "Salutation."), trait("first_name", "string", "First name."), trait("last_name", "string", "Last name."), trait("email", "string", "Best e-mail address."),
    trait("phone", "string", "Best phone."), trait("street", "string", "Street."), trait("house_number", "string", "House number."), trait("postcode", "string", "Postcode."),
    trait("city", "string", "City."), trait("country", "string", "Country.", "pseudonym"), trait("birth_date", "date", "Date of birth."), trait("gender", "string", "Gender.", "sensitive"),
    trait("language", "string", "Language for copy.", "pseudonym"), trait("age", "int64", "Age as given."), trait("family_status", "string", "Family status.", "sensitive"),
    trait("company", "string", "Company."), trait("company_size", "int64", "Employees."), trait("job_title", "string", "Job."), trait("industry", "string", "Industry."),
    trait("decision_power", "string", "Part in decisions."), col("hobbies", "list<string>", "Hobbies.", "contact", "psychographic"), col("motivation", "string", "Motivation.", "contact", "psychographic"),
    col("kind", "string", "customer, lead, subscriber, company_contact or visitor."), fact("acquisition_channel", "string", "First channel that brought the person."),
    col("first_seen_at", "timestamp", "First sign of the person."), col("last_seen_at", "timestamp", "Last sign."),
    col("records", "int64", "Records of people that went into it."), col("sources", "list<string>", "Sources that know the person."),
    col("provenance", "json", "Per attribute: source and moment.", "pseudonym"), changed(), subject="person_key", purpose="crm",
)  # fmt: skip

CONSENTS = table(
    "unify", "consents", "History of the fold of the consent log, one row per change of person, purpose and channel.", ("person_key", "purpose", "channel", "occurred_at", "seq"),
    person(), col("purpose", "string", "Purpose."), col("channel", "string", "Channel."), col("status", "string", "given, withdrawn, objected, pending or missing."),
    col("basis", "string", "consent, existing_customer, contract, legitimate_interest."), *clocks(), col("until", "timestamp", "When it lapses."),
    col("seq", "int64", "Order among rows of one instant."), col("wording", "string", "Wording version."), col("record_id", "string", "The log record that decides.", "pseudonym"),
    changed(), subject="person_key", purpose="legal",
)  # fmt: skip

ACCOUNTS = table(
    "unify", "accounts", "Companies and households, and who belongs to them.", ("account_id", "person_key"),
    col("account_id", "string", "Id.", "pseudonym"), col("kind", "string", "company or household."), person(), col("name", "string", "Name.", "contact"),
    col("role", "string", "Part of the person in it."), changed(), subject="person_key", purpose="crm",
)  # fmt: skip

UNIFY = (IDENTIFIERS, LINKS, MATCH_MODELS, RECORD_PAIRS, IDENTITY_DECISIONS, IDENTITIES, MERGES, PERSON_DAYS, MEASURE_DAYS, TRAIT_CHANGES, PROFILES, CONSENTS, ACCOUNTS)
