"""Tables of `collect`: what came in from outside, canonical, with both clocks and its identifiers."""

from __future__ import annotations

from kundig.tables._declare import clocks, col, fact, identifier, money, table, trait

_SOURCE = col("source", "string", "Name of the source (`sources/<name>.yaml`).")
_BATCH = col("batch_id", "string", "The landed batch that brought the row.")

EVENTS = table(
    "collect", "events", "What happened, one row per message, never changed but by erasure.", ("event_id",),
    col("event_id", "string", "Source and message id, joined by ':'; ties of time are ordered by it.", "pseudonym"),
    _SOURCE,
    fact("name", "string", "Event name in snake case, as the tracking plan spells it."),
    fact("kind", "string", "track, identify, page, screen, group or alias."),
    *clocks(),
    col("local_day", "date", "Day of `occurred_at` in the workspace's zone."),
    *identifier(),
    fact("session_key", "int64", "Session the tracker named, if it names one.", "pseudonym"),
    fact("channel", "string", "Channel of the visit or message: direct, organic_search, paid_search, email, …"),
    fact("medium", "string", "What the channel is to the company: paid, owned or earned; empty where the channel does not tell."),
    fact("campaign", "string", "Campaign name (utm_campaign or the sender's)."),
    fact("platform", "string", "web, ios, android, till, server."),
    fact("device", "string", "Kind of device: desktop, mobile, tablet, or bot."),
    fact("browser", "string", "chrome, safari, firefox, edge, samsung, opera, vivaldi."),
    fact("page_host", "string", "Host of the page, in lower case."),
    fact("page_path", "string", "Path of the page, without query.", "pseudonym"),
    fact("page_title", "string", "Title of the page; none where it names a person.", "pseudonym"),
    fact("page_query", "json", "Parameters of the page's address that the source's file names; none that looks like a secret or names a person.", "pseudonym"),
    fact("referrer_host", "string", "Host of the page before, in lower case."),
    money("value", "The event's amount in the workspace's currency (total of an order, price of a product)."),
    fact("properties", "json", "Properties that the tracking plan does not declare.", "sensitive"),
    _BATCH,
    subject="identifier_key", purpose="analytics", retention_days=1_095, open_columns=True,
)  # fmt: skip

SESSIONS = table(
    "collect", "sessions", "Runs of events of one identifier with no long gap between them.", ("session_id",),
    col("session_id", "string", "Identifier and start.", "pseudonym"),
    col("identifier_key", "int64", "Whose session.", "pseudonym"),
    col("started_at", "timestamp", "First event."), col("ended_at", "timestamp", "Last event."),
    col("local_day", "date", "Day it started, in the workspace's zone."),
    fact("events", "int64", "Number of events."), fact("pages", "int64", "Number of page views."),
    fact("channel", "string", "Channel of its first event."), fact("campaign", "string", "Campaign of its first event."),
    fact("landing_path", "string", "First page.", "pseudonym"), fact("converted", "bool", "A purchase happened in it."),
    subject="identifier_key", purpose="analytics", retention_days=1_095,
)  # fmt: skip

ORDERS = table(
    "collect", "orders", "Orders, receipts and their cancellations; the one truth for revenue.", ("order_id",),
    col("order_id", "string", "Source and order number.", "pseudonym"), _SOURCE, *clocks(),
    col("local_day", "date", "Day of the order in the workspace's zone."), *identifier(),
    col("status", "string", "completed, cancelled or returned; a returned order keeps its lines and has negative ones beside."),
    col("channel", "string", "Sales channel: shop, app, till, b2b."),
    col("original_currency", "string", "Currency of the document, ISO 4217."),
    money("gross", "Amount paid in the workspace's currency, tax and shipping included, returns taken off."),
    money("net", "Goods only: without tax, shipping and fees, discounts and returns taken off; what margin is counted on."),
    money("tax", "Tax in it."), money("shipping", "Shipping charged."), money("discount", "Discount given (positive)."),
    money("product_cost", "Cost of the goods where known; null where unknown."),
    col("offer_code", "string", "Voucher used."),
    col("acquisition_channel", "string", "Channel the source names for the order, if any."), _BATCH,
    subject="identifier_key", purpose="contract", retention_days=3_653,
)  # fmt: skip

ORDER_LINES = table(
    "collect", "order_lines", "Lines of orders; returns and cancellations are lines with negative quantity.", ("line_id",),
    col("line_id", "string", "Order and line number.", "pseudonym"), col("order_id", "string", "The order.", "pseudonym"), _SOURCE, *clocks(),
    col("local_day", "date", "Day in the workspace's zone."), *identifier(),
    col("product_id", "string", "Article number."), col("quantity", "decimal(18,4)", "Pieces; negative when taken back."),
    money("unit_price", "Price of a piece in the workspace's currency, tax included as the source says."),
    money("net", "Line value without tax, discount taken off; negative when taken back."),
    money("gross", "Line value with tax, discount taken off; negative when taken back; null where the source tells no tax."),
    money("product_cost", "Cost of the goods of the line; null where unknown."),
    col("line_kind", "string", "goods, shipping, fee, discount, voucher, adjustment."), _BATCH,
    subject="identifier_key", purpose="contract", retention_days=3_653,
)  # fmt: skip

PRODUCTS = table(
    "collect", "products", "The catalogue.", ("product_id",),
    col("product_id", "string", "Article number."), _SOURCE, col("name", "string", "Name."), col("category", "string", "Category."),
    col("brand", "string", "Brand."), money("price", "List price."), money("cost", "Cost of a piece."), col("url", "string", "Product page."),
    col("image", "string", "Product picture."), col("active", "bool", "On sale."), col("received_at", "timestamp", "When we knew."),
)  # fmt: skip

STOCK_LEVELS = table(
    "collect", "stock_levels", "Pieces in stock, newest count a product and place.", ("product_id", "place"),
    col("product_id", "string", "Article number."), col("place", "string", "Warehouse or shop."), _SOURCE,
    col("quantity", "int64", "Pieces."), col("occurred_at", "timestamp", "When counted."), col("received_at", "timestamp", "When we knew."),
)  # fmt: skip

COSTS = table(
    "collect", "costs", "Costs booked per day and kind that no rate of costs.yaml covers.", ("local_day", "kind", "channel"),
    col("local_day", "date", "Day."), col("kind", "string", "service, shipping, payment, returns, tools, staff."), col("channel", "string", "Channel."),
    money("amount", "Amount in the workspace's currency."), _SOURCE,
)  # fmt: skip

CONTACTS = table(
    "collect", "contacts", "Records of people in CRM, shop, till and lead lists: newest version each, with their dirt.", ("contact_id",),
    col("contact_id", "string", "Source and record id.", "pseudonym"), _SOURCE, *clocks(), *identifier(),
    col("kind", "string", "customer, lead, subscriber or company_contact."),
    trait("salutation", "string", "Salutation as given."), trait("title", "string", "Academic title."),
    trait("first_name", "string", "First name as given."), trait("last_name", "string", "Last name as given."),
    trait("email", "string", "E-mail address, normalised."), trait("phone", "string", "Phone, E.164 where it can be."),
    trait("street", "string", "Street."), trait("house_number", "string", "House number with suffix."), trait("postcode", "string", "Postcode."),
    trait("city", "string", "City."), trait("country", "string", "ISO 3166 alpha-2."), trait("birth_date", "date", "Date of birth."),
    trait("gender", "string", "As the person gave it.", "sensitive"), trait("language", "string", "ISO 639-1.", "pseudonym"),
    trait("age", "int64", "Age in years as given, where no date of birth is known."), trait("family_status", "string", "Family status.", "sensitive"),
    trait("company", "string", "Company."), trait("company_size", "int64", "Employees."), trait("job_title", "string", "Job."),
    trait("decision_power", "string", "Part in buying decisions: decides, recommends, uses."), trait("industry", "string", "Industry."),
    col("hobbies", "list<string>", "Hobbies as given.", "contact", "psychographic"),
    col("motivation", "string", "Why they came, as given.", "contact", "psychographic"),
    col("lead_source", "string", "Fair, form, referral, purchase.", "none", "behavioural"),
    col("acquisition_channel", "string", "First channel the record names.", "none", "behavioural"),
    col("owner", "string", "Who looks after the record."), col("attributes", "json", "Other fields of the record.", "sensitive"), _BATCH,
    subject="identifier_key", purpose="crm", retention_days=1_825,
)  # fmt: skip

DEALS = table(
    "collect", "deals", "Business deals, as the CRM has them now.", ("deal_id",),
    col("deal_id", "string", "Source and deal number.", "pseudonym"), _SOURCE, *clocks(), *identifier(), col("stage", "string", "open, won, lost."),
    money("amount", "Amount."), col("closed_at", "timestamp", "When won or lost."), col("company", "string", "Company.", "contact"), _BATCH,
    subject="identifier_key", purpose="contract", retention_days=3_653,
)  # fmt: skip

SUBSCRIPTIONS = table(
    "collect", "subscriptions", "Contracts with a recurring amount.", ("subscription_id",),
    col("subscription_id", "string", "Source and number.", "pseudonym"), _SOURCE, *clocks(), *identifier(),
    col("plan", "string", "Plan."), money("amount", "Amount a period, net."), col("period_months", "int64", "Length of a period."),
    col("started_at", "timestamp", "Start."), col("ended_at", "timestamp", "End; null while it runs."), col("trial_until", "timestamp", "End of the trial."), _BATCH,
    subject="identifier_key", purpose="contract", retention_days=3_653,
)  # fmt: skip

TICKETS = table(
    "collect", "tickets", "Support cases.", ("ticket_id",),
    col("ticket_id", "string", "Source and number.", "pseudonym"), _SOURCE, *clocks(), *identifier(), fact("topic", "string", "Topic."),
    fact("status", "string", "open or solved."), fact("channel", "string", "How it came in."), col("solved_at", "timestamp", "When solved."),
    fact("satisfaction", "int64", "1 to 5, if answered."), _BATCH,
    subject="identifier_key", purpose="support", retention_days=1_095,
)  # fmt: skip

SURVEY_ANSWERS = table(
    "collect", "survey_answers", "Answers to surveys: NPS, attitudes, brand recall.", ("answer_id",),
    col("answer_id", "string", "Source, sheet and question.", "pseudonym"), _SOURCE, *clocks(), *identifier(),
    col("survey", "string", "Which survey."), col("question", "string", "Which question."),
    col("answer", "string", "Answer as text.", "contact", "psychographic"), col("score", "decimal(18,4)", "Answer as a number.", "none", "psychographic"),
    col("exposed", "bool", "Had seen the campaign (brand lift)."), _BATCH,
    subject="identifier_key", purpose="research", retention_days=1_095,
)  # fmt: skip

REFERRALS = table(
    "collect", "referrals", "Who brought whom.", ("referral_id",),
    col("referral_id", "string", "Source and number.", "pseudonym"), _SOURCE, *clocks(), *identifier(),
    col("referred_key", "int64", "Identifier of the person referred.", "pseudonym"), col("status", "string", "sent, joined, bought."), _BATCH,
    subject="identifier_key", purpose="crm", retention_days=1_825,
)  # fmt: skip

AD_SPEND = table(
    "collect", "ad_spend", "What was spent a day, platform and campaign.", ("local_day", "platform", "campaign"),
    col("local_day", "date", "Day in the workspace's zone."), col("platform", "string", "google_ads, meta_ads, linkedin_ads, …"), col("channel", "string", "paid_search, paid_social, display, …"),
    col("campaign", "string", "Campaign."), money("amount", "Amount in the workspace's currency."), col("impressions", "int64", "Impressions."),
    col("clicks", "int64", "Clicks."), _SOURCE, col("received_at", "timestamp", "When we knew."),
)  # fmt: skip

AD_CONTACTS = table(
    "collect", "ad_contacts", "Single contacts with advertising, where the platform tells them.", ("contact_id",),
    col("contact_id", "string", "Source and id.", "pseudonym"), _SOURCE, *clocks(), *identifier(), col("platform", "string", "Platform.", party="third"),
    col("channel", "string", "Channel."), col("campaign", "string", "Campaign."), col("kind", "string", "impression or click."), _BATCH,
    subject="identifier_key", purpose="advertising", retention_days=395,
)  # fmt: skip

SOCIAL_CONTACTS = table(
    "collect", "social_contacts", "Comments, mentions and messages in social networks.", ("contact_id",),
    col("contact_id", "string", "Source and id.", "pseudonym"), _SOURCE, *clocks(), *identifier(), col("network", "string", "Network.", party="third"),
    col("kind", "string", "comment, mention, message, follow."), col("sentiment", "float64", "-1 to 1."), _BATCH,
    subject="identifier_key", purpose="advertising", retention_days=395,
)  # fmt: skip

CAMPAIGN_MESSAGES = table(
    "collect", "campaign_messages", "Sends and outcomes of outside tools, one row a message and outcome.", ("message_id", "outcome"),
    col("message_id", "string", "Source and message id.", "pseudonym"), _SOURCE, *clocks(), col("local_day", "date", "Day."), *identifier(),
    col("channel", "string", "email, push, in_app."), fact("campaign", "string", "Campaign."), fact("variant", "string", "Variant sent."),
    fact("outcome", "string", "sent, delivered, opened, clicked, bounced, unsubscribed, complained, dismissed."), _BATCH,
    subject="identifier_key", purpose="marketing", retention_days=1_095,
)  # fmt: skip

CONSENT_RECORDS = table(
    "collect", "consent_records", "Copy of the consent log, for steps and as-of questions.", ("record_id",),
    col("record_id", "string", "Id in the log.", "pseudonym"), _SOURCE, *clocks(), *identifier(),
    col("purpose", "string", "Purpose."), col("channel", "string", "Channel; '*' for all of them."),
    col("status", "string", "given, requested (double opt-in pending), confirmed, withdrawn, objected, contract, customer (existing-customer basis begins)."),
    col("basis", "string", "consent, existing_customer, contract, legitimate_interest."), col("until", "timestamp", "When it lapses; null: by the purpose's rule."),
    col("wording", "string", "Version of the wording shown."), col("wording_hash", "string", "SHA-256 of its text."),
    col("evidence", "string", "Where the proof is (form, IP hash, document).", "pseudonym"), col("jurisdiction", "string", "ISO country."),
    col("seq", "int64", "Order of arrival in the log."),
    subject="identifier_key", purpose="legal", retention_days=1_095,
)  # fmt: skip

EXCHANGE_RATES = table(
    "collect", "exchange_rates", "Units of the workspace's currency for one of another, by day.", ("local_day", "currency"),
    col("local_day", "date", "Day."), col("currency", "string", "ISO 4217."), col("rate", "float64", "Workspace currency for one unit."), _SOURCE,
)  # fmt: skip

SOURCE_CURSORS = table(
    "collect", "source_cursors", "How far each source was read: moved in the commit that lands what was read, so that nothing is lost or taken twice.", ("cursor_id",),
    col("cursor_id", "string", "Source, place and mapping; of an object store, also the object."), _SOURCE,
    col("position", "string", "Newest value of the cursor, as JSON; of an object, its version."),
    col("seen", "list<string>", "Hashes of the rows behind the cursor that were read already."),
    col("moved_at", "timestamp", "When it moved."), _BATCH,
)  # fmt: skip

SOURCE_SYSTEMS = table(
    "collect", "source_systems", "Where rows come from, as the sources' files say: whose data it is, and who answers for it; rows of other tables name their source.", ("source",),
    _SOURCE, col("party", "string", "Whose data it is: first, second or third party."), col("meaning", "string", "What the system is."), col("owner", "string", "Who answers for it."),
    col("known_from", "string", "What the mapping was made from: documentation or a real export."), col("documentation", "string", "Where its columns are described."),
    col("version", "string", "Version of the export."), col("truth_for", "list<string>", "Attributes it is the source of truth for."),
    col("landed_at", "timestamp", "When an import last landed something of it."),
)  # fmt: skip

SOURCE_TOTALS = table(
    "collect", "source_totals", "What sources declare of themselves, day by day: how much there is at their side, to hold what landed against.", ("local_day", "source", "total"),
    col("local_day", "date", "Day, in the workspace's zone."), _SOURCE, col("total", "string", "Which total, as the source's file names it under `totals`."),
    col("quantity", "decimal(18,4)", "How many rows there are."), money("amount", "What they come to, in the workspace's currency."), col("received_at", "timestamp", "When we knew."),
)  # fmt: skip

QUARANTINED_RECORDS = table(
    "collect", "quarantined_records", "Records that could not be taken, with the reason, kept to be mended and replayed.", ("record_id",),
    col("record_id", "string", "Batch and position.", "pseudonym"), _SOURCE, col("received_at", "timestamp", "When it came."),
    col("identifier_key", "int64", "Strongest identifier it carries, if one could be read.", "pseudonym"),
    col("stage", "string", "decode, contract, mapping, identity."), col("what", "string", "What is wrong."), col("where", "string", "File and line, or path in the body."),
    col("mend", "string", "How to mend it."), col("body", "json", "The record: as it came, or as it was mended.", "sensitive"), col("status", "string", "held, replayed, dropped."), _BATCH,
    col("original", "json", "The record as it came, where it was mended since.", "sensitive"), col("note", "string", "Why it was dropped."),
    subject="identifier_key", retention_days=90,
)  # fmt: skip

TOUCHED = table(
    "collect", "touched", "Which identifiers each landed batch touched: the first cause of recomputing.", ("batch_id", "identifier_key"),
    _BATCH, col("identifier_key", "int64", "Touched identifier.", "pseudonym"), col("received_at", "timestamp", "When the batch landed."),
    subject="identifier_key", retention_days=30,
)  # fmt: skip

COLLECT = (
    EVENTS, SESSIONS, ORDERS, ORDER_LINES, PRODUCTS, STOCK_LEVELS, COSTS, CONTACTS, DEALS, SUBSCRIPTIONS, TICKETS, SURVEY_ANSWERS, REFERRALS,
    AD_SPEND, AD_CONTACTS, SOCIAL_CONTACTS, CAMPAIGN_MESSAGES, CONSENT_RECORDS, EXCHANGE_RATES, SOURCE_CURSORS, SOURCE_SYSTEMS, SOURCE_TOTALS,
    QUARANTINED_RECORDS, TOUCHED,
)  # fmt: skip
