"""Ready mappings: files with exactly the documented headers become the rows they should; a missing column is told with place and mend."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.collect.shop import Shop

from kundig.collect import money, ready
from kundig.collect.mapping import check, needed
from kundig.config.load import load
from kundig.errors import ConfigError, SourceError

D = Decimal
DOLLAR = D(str(money.rates([(dt.date(2026, 10, 1), "USD")], "EUR", {})[0].column("rate")[0].as_py()))
"""Euros for a dollar on the day of the tests' foreign order, by the European Central Bank."""
SHOPIFY_ORDERS = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,Subtotal,Shipping,Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,"
    "Lineitem quantity,Lineitem name,Lineitem price,Lineitem compare at price,Lineitem sku,Lineitem requires shipping,Lineitem taxable,Lineitem fulfillment status,Billing Name,Billing Street,"
    "Billing Address1,Billing Address2,Billing Company,Billing City,Billing Zip,Billing Province,Billing Country,Billing Phone,Shipping Name,Shipping Street,Shipping Address1,Shipping Address2,"
    "Shipping Company,Shipping City,Shipping Zip,Shipping Province,Shipping Country,Shipping Phone,Notes,Note Attributes,Cancelled at,Payment Method,Payment Reference,Refunded Amount,Vendor,"
    "Outstanding Balance,Employee,Location,Device ID,Id,Tags,Risk Level,Source,Lineitem discount,Tax 1 Name,Tax 1 Value,Tax 2 Name,Tax 2 Value,Tax 3 Name,Tax 3 Value,Tax 4 Name,Tax 4 Value,"
    "Tax 5 Name,Tax 5 Value,Phone,Receipt Number,Duties,Billing Province Name,Shipping Province Name,Payment ID,Payment Terms Name,Next Payment Due At,Payment References"
)
SHOPIFY_CUSTOMERS = (
    "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,Default Address Address1,Default Address Address2,Default Address City,Default Address Province Code,"
    "Default Address Country Code,Default Address Zip,Default Address Phone,Phone,Accepts SMS Marketing,Total Spent,Total Orders,Note,Tax Exempt,Tags"
)
SHOPIFY_PRODUCTS = "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Qty,Variant Price,Image Src,Cost per item,Status"
SHOPIFY_STOCK = "Handle,Title,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Option3 Name,Option3 Value,SKU,HS Code,COO,Location,Incoming,Unavailable,Committed,Available,On hand"
MAILCHIMP = "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,LAST_CHANGED,LEID,EUID,NOTES,TAGS"
MAILCHIMP_GONE = "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LAST_CHANGED,UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_CAMPAIGN_ID,UNSUB_REASON,UNSUB_REASON_OTHER,LEID,EUID,NOTES,TAGS"
KLAVIYO = (
    "Email,Klaviyo ID,First Name,Last Name,Organization,Title,Phone Number,Address,Address 2,City,State / Region,Country,Zip Code,Latitude,Longitude,Source,IP Address,Email Marketing Consent,"
    "Email Marketing Consent Timestamp,First Active,Last Active,Profile Created On,Date Added,Last Open,Last Click,Email Suppressions"
)
STRIPE_PAYMENTS = (
    "id,Created date (UTC),Amount,Amount Refunded,Currency,Captured,Converted Amount,Converted Amount Refunded,Converted Currency,Description,Fee,Refunded date (UTC),Statement Descriptor,Status,"
    "Seller Message,Taxes On Fee,Card ID,Customer ID,Customer Description,Customer Email,Invoice ID,Transfer"
)
STRIPE_SUBSCRIPTIONS = (
    "id,Customer ID,Customer Description,Customer Email,Plan,Product,Quantity,Currency,Interval,Amount,Status,Created (UTC),Start (UTC),Current Period Start (UTC),Current Period End (UTC),"
    "Trial Start (UTC),Trial End (UTC),Application Fee,Coupon,Tax,Canceled At (UTC),Ended At (UTC)"
)
ZENDESK = (
    "Summation column,Id,Requester,Requester id,Requester external id,Requester email,Requester domain,Submitter,Assignee,Group,Subject,Tags,Status,Priority,Via,Ticket type,Created at,Updated at,"
    "Assigned at,Organization,Due date,Initially assigned at,Solved at,Resolution time,Satisfaction Score,Group stations,Assignee stations,Reopens,Replies,First reply time in minutes"
)
SQUARE = (
    "Date,Time,Time Zone,Category,Item,Qty,Price Point Name,SKU,Modifiers Applied,Gross Sales,Discounts,Net Sales,Tax,Transaction ID,Payment ID,Device Name,Notes,Details,Event Type,Location,"
    "Dining Option,Customer ID,Customer Name,Customer Reference ID,Unit,Count,Itemization Type,Commission,Employee"
)
SF_CONTACT = "Id,IsDeleted,AccountId,LastName,FirstName,Salutation,MailingStreet,MailingCity,MailingPostalCode,MailingCountryCode,Phone,MobilePhone,Email,Title,Department,LeadSource,Birthdate,OwnerId,CreatedDate,LastModifiedDate"
SF_LEAD = "Id,IsDeleted,LastName,FirstName,Salutation,Title,Company,Street,City,PostalCode,Phone,MobilePhone,Email,LeadSource,Status,Industry,NumberOfEmployees,OwnerId,IsConverted,ConvertedContactId,CreatedDate,LastModifiedDate"
SF_OPPORTUNITY = "Id,IsDeleted,AccountId,ContactId,Name,StageName,Amount,CloseDate,Type,LeadSource,IsClosed,IsWon,OwnerId,CreatedDate,LastModifiedDate"
HUBSPOT_CONTACTS = "Record ID,First Name,Last Name,Email,Phone Number,Contact owner,Lead Status,Lifecycle Stage,Original Source,Create Date,Last Activity Date"
HUBSPOT_DEALS = "Record ID,Deal Name,Deal Stage,Pipeline,Close Date,Deal owner,Amount,Create Date,Associated Contact IDs,Associated Company"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A ready mapping, files for it, and rows that must land: (table, columns, order) to rows."""

    name: str
    files: Mapping[str, str | bytes]
    expected: Mapping[tuple[str, str], Sequence[tuple[Any, ...]]]
    held: int = 0


def cells(header: str, *rows: Mapping[str, str]) -> str:
    """A CSV file with exactly this header; cells that a row does not name are empty, and a name that the header lacks is a mistake of the test."""
    names = next(csv.reader([header]))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", extrasaction="raise", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def event(name: str, micros: int, user: str | None = None, **params: Any) -> dict[str, Any]:
    """An event as GA4 exports it."""
    values = [{"key": key, "value": {"string_value": value if isinstance(value, str) else None, "int_value": str(value) if isinstance(value, int) else None, "float_value": None, "double_value": value if isinstance(value, float) else None}} for key, value in params.items()]
    return {
        "event_date": "20261001", "event_timestamp": str(micros), "event_name": name, "event_params": values, "event_bundle_sequence_id": "1", "user_id": user, "user_pseudo_id": "99.1", "user_properties": [],
        "platform": "WEB", "collected_traffic_source": {"manual_campaign_name": "autumn", "manual_source": "google", "manual_medium": "cpc", "gclid": None}, "ecommerce": {"transaction_id": None},
    }  # fmt: skip


CASES = (
    Case(
        name="shopify",
        files={
            "exports/shopify/orders_export.csv": cells(
                SHOPIFY_ORDERS,
                {"Name": "#1001", "Email": "a@x.de", "Financial Status": "paid", "Currency": "EUR", "Shipping": "4.90", "Taxes": "19.00", "Total": "123.90", "Discount Code": "HALLO", "Discount Amount": "5.00", "Created at": "2026-03-28 23:30:00 +0100", "Lineitem quantity": "2", "Lineitem name": "Mug", "Lineitem price": "50.00", "Lineitem sku": "MUG", "Refunded Amount": "0.00", "Source": "web", "Lineitem discount": "0.00"},
                {"Name": "#1001", "Email": "a@x.de", "Created at": "2026-03-28 23:30:00 +0100", "Lineitem quantity": "1", "Lineitem name": "Card", "Lineitem price": "5.00", "Lineitem discount": "1.00"},
                {"Name": "#1002", "Email": "b@x.de", "Financial Status": "partially_refunded", "Currency": "USD", "Shipping": "0.00", "Taxes": "0.00", "Total": "100.00", "Created at": "2026-10-01 10:00:00 -0400", "Lineitem quantity": "4", "Lineitem name": "Mug", "Lineitem price": "25.00", "Lineitem sku": "MUG", "Refunded Amount": "25.00", "Source": "pos", "Lineitem discount": "0.00"},
                {"Name": "#1003", "Email": "c@x.de", "Financial Status": "refunded", "Currency": "EUR", "Shipping": "0.00", "Taxes": "1.60", "Total": "10.00", "Created at": "2026-10-02 10:00:00 +0200", "Lineitem quantity": "1", "Lineitem name": "Mug", "Lineitem price": "10.00", "Refunded Amount": "10.00", "Lineitem discount": "0.00"},
            ),
            "exports/shopify/customers_export.csv": cells(SHOPIFY_CUSTOMERS, {"Customer ID": "'7210448301122", "First Name": "Ann", "Email": "A@x.de", "Phone": "'+4917112345678", "Default Address Zip": "'01067", "Default Address Country Code": "DE", "Accepts Email Marketing": "yes"}),
            "exports/shopify/products_export.csv": cells(SHOPIFY_PRODUCTS, {"Handle": "mug", "Title": "Mug", "Vendor": "Own", "Type": "Kitchen", "Variant SKU": "MUG", "Variant Price": "25.00", "Cost per item": "9.50", "Status": "active"}, {"Handle": "mug", "Image Src": "https://cdn/2.jpg"}),
            "exports/shopify/inventory_export.csv": cells(SHOPIFY_STOCK, {"Handle": "mug", "SKU": "MUG", "Location": "Berlin", "On hand": "5"}, {"Handle": "mug", "SKU": "MUG", "Location": "Hamburg", "On hand": "not stocked"}),
        },
        expected={
            ("orders", "order_id, CAST(local_day AS VARCHAR), gross, net, tax, shipping, status, channel, original_currency"): [
                ("shopify:#1001", "2026-03-28", D("123.9"), D("100"), D("19"), D("4.9"), "completed", "shop", "EUR"),
                ("shopify:#1002", "2026-10-01", round(75 * DOLLAR, 4), round(75 * DOLLAR, 4), D("0"), D("0"), "returned", "till", "USD"),
                ("shopify:#1003", "2026-10-02", D("0"), D("0"), D("0"), D("0"), "cancelled", "shop", "EUR"),
            ],
            ("order_lines", "line_id, product_id, quantity, net"): [
                ("shopify:#1001-1", "MUG", D("2"), D("100")), ("shopify:#1001-2", "Card", D("1"), D("4")), ("shopify:#1002-1", "MUG", D("4"), round(100 * DOLLAR, 4)), ("shopify:#1003-1", "Mug", D("1"), D("10")),
            ],
            ("events", "event_id, name"): [("shopify:#1001", "order_completed"), ("shopify:#1002", "order_completed")],
            ("contacts", "contact_id, email, phone, postcode, country"): [("shopify:7210448301122", "a@x.de", "+4917112345678", "01067", "DE")],
            ("products", "product_id, name, brand, price, cost, active"): [("MUG", "Mug", "Own", D("25"), D("9.5"), True)],
            ("stock_levels", "product_id, place, quantity"): [("MUG", "Berlin", 5)],
        },
    ),
    Case(
        name="hubspot",
        files={
            "exports/hubspot/all-contacts.csv": cells(HUBSPOT_CONTACTS, {"Record ID": "51", "First Name": "Ann", "Last Name": "Example", "Email": "a@x.de", "Lifecycle Stage": "Customer", "Create Date": "2026-10-01 09:30", "Original Source": "Organic Search"}, {"Record ID": "52", "Email": "b@x.de", "Lifecycle Stage": "lead", "Create Date": "2026-10-01 09:30"}),
            "exports/hubspot/all-deals.csv": cells(HUBSPOT_DEALS, {"Record ID": "7", "Deal Stage": "Closed Won", "Close Date": "2026-10-20 12:00", "Amount": "1,250.50", "Create Date": "2026-10-01 09:30", "Associated Contact IDs": "51;52"}, {"Record ID": "8", "Deal Stage": "Appointment Scheduled", "Amount": "10", "Create Date": "2026-10-02 09:30"}),
        },
        expected={
            ("contacts", "contact_id, kind, CAST(occurred_at AS VARCHAR), lead_source"): [("hubspot:51", "customer", "2026-10-01 07:30:00+00", "Organic Search"), ("hubspot:52", "lead", "2026-10-01 07:30:00+00", None)],
            ("deals", "deal_id, stage, amount"): [("hubspot:7", "won", D("1250.5")), ("hubspot:8", "open", D("10"))],
        },
    ),
    Case(
        name="salesforce",
        files={
            "exports/salesforce/Contact.csv": cells(SF_CONTACT, {"Id": "0031", "IsDeleted": "false", "LastName": "Example", "Email": "a@x.de", "MobilePhone": "0171 2345678", "MailingCountryCode": "de", "Birthdate": "1980-05-17", "LastModifiedDate": "2026-10-01T09:30:00.000Z"}, {"Id": "0032", "IsDeleted": "true", "LastName": "Gone", "LastModifiedDate": "2026-10-01T09:30:00.000Z"}),
            "exports/salesforce/Lead.csv": cells(SF_LEAD, {"Id": "00Q1", "IsDeleted": "false", "LastName": "Lead", "Email": "l@x.de", "Company": "Acme", "NumberOfEmployees": "250", "IsConverted": "true", "ConvertedContactId": "0031", "LastModifiedDate": "2026-10-02T09:30:00.000+0000"}),
            "exports/salesforce/Opportunity.csv": cells(SF_OPPORTUNITY, {"Id": "0061", "IsDeleted": "false", "StageName": "Closed Lost", "Amount": "99.5", "CloseDate": "2026-10-20", "ContactId": "0031", "CreatedDate": "2026-10-01T09:30:00.000Z"}),
        },
        expected={
            ("contacts", "contact_id, kind, phone, country, CAST(birth_date AS VARCHAR), company_size"): [("salesforce:0031", "company_contact", "+491712345678", "DE", "1980-05-17", None), ("salesforce:00Q1", "lead", None, None, None, 250)],
            ("deals", "deal_id, stage, amount, CAST(closed_at AS VARCHAR)"): [("salesforce:0061", "lost", D("99.5"), "2026-10-20 00:00:00+00")],
        },
    ),
    Case(
        name="mailchimp",
        files={
            "exports/mailchimp/subscribed_members_export.csv": cells(MAILCHIMP, {"Email Address": "A@x.de", "First Name": "Ann", "MEMBER_RATING": "4", "OPTIN_TIME": "2026-01-02 10:00:00", "CONFIRM_TIME": "2026-01-02 10:05:00", "CC": "de", "LAST_CHANGED": "2026-07-01 00:00:00", "LEID": "123"}),
            "exports/mailchimp/unsubscribed_members_export.csv": cells(MAILCHIMP_GONE, {"Email Address": "b@x.de", "UNSUB_TIME": "2026-07-01 12:00:00", "LEID": "124"}),
        },
        expected={
            ("contacts", "contact_id, kind, email, country, CAST(occurred_at AS VARCHAR)"): [("mailchimp:123", "subscriber", "a@x.de", "DE", "2026-07-01 04:00:00+00")],
            ("consent_records", "record_id, status, purpose, channel, CAST(occurred_at AS VARCHAR)"): [
                ("mailchimp:123:2026-01-02 10:05:00", "confirmed", "marketing", "email", "2026-01-02 15:05:00+00"), ("mailchimp:124:2026-07-01 12:00:00", "withdrawn", "marketing", "email", "2026-07-01 16:00:00+00"),
            ],
        },
    ),
    Case(
        name="klaviyo",
        files={
            "exports/klaviyo/newsletter.csv": cells(
                KLAVIYO, {"Email": "a@x.de", "Klaviyo ID": "01A", "Phone Number": "+491712345678", "Email Marketing Consent": "SUBSCRIBED", "Email Marketing Consent Timestamp": "2026-05-01T10:00:00Z", "Profile Created On": "2026-04-01 10:00:00"},
                {"Email": "b@x.de", "Klaviyo ID": "01B", "Email Marketing Consent": "UNSUBSCRIBED", "Email Marketing Consent Timestamp": "2026-05-02T10:00:00Z", "Profile Created On": "2026-04-01 10:00:00"},
                {"Email": "c@x.de", "Klaviyo ID": "01C", "Email Marketing Consent": "NEVER_SUBSCRIBED", "Profile Created On": "2026-04-01 10:00:00"},
            ),
        },
        expected={
            ("contacts", "contact_id, phone"): [("klaviyo:01A", "+491712345678"), ("klaviyo:01B", None), ("klaviyo:01C", None)],
            ("consent_records", "record_id, status, CAST(occurred_at AS VARCHAR)"): [("klaviyo:01A:2026-05-01T10:00:00Z", "given", "2026-05-01 10:00:00+00"), ("klaviyo:01B:2026-05-02T10:00:00Z", "withdrawn", "2026-05-02 10:00:00+00")],
        },
    ),
    Case(
        name="stripe",
        files={
            "exports/stripe/unified_payments.csv": cells(
                STRIPE_PAYMENTS, {"id": "ch_1", "Created date (UTC)": "2026-10-01 22:30:00", "Amount": "1,000.00", "Amount Refunded": "0.00", "Currency": "eur", "Status": "Paid", "Customer Email": "a@x.de", "Customer ID": "cus_1"},
                {"id": "ch_2", "Created date (UTC)": "2026-10-01 15:00", "Amount": "100.00", "Amount Refunded": "30.00", "Currency": "eur", "Status": "Paid", "Customer Email": "b@x.de"},
                {"id": "ch_3", "Created date (UTC)": "2026-10-01 15:00", "Amount": "50.00", "Amount Refunded": "50.00", "Currency": "eur", "Status": "Refunded"}, {"id": "ch_4", "Created date (UTC)": "2026-10-01 15:00", "Amount": "9.00", "Amount Refunded": "0.00", "Currency": "eur", "Status": "Failed"},
            ),
            "exports/stripe/subscriptions.csv": cells(STRIPE_SUBSCRIPTIONS, {"id": "sub_1", "Customer ID": "cus_1", "Customer Email": "a@x.de", "Plan": "gold", "Amount": "120.00", "Interval": "year", "Status": "active", "Created (UTC)": "2026-09-01 10:00", "Start (UTC)": "2026-09-01 10:00", "Trial End (UTC)": "2026-09-15 10:00"}),
        },
        expected={
            ("orders", "order_id, CAST(local_day AS VARCHAR), gross, status, original_currency"): [
                ("stripe:ch_1", "2026-10-02", D("1000"), "completed", "EUR"), ("stripe:ch_2", "2026-10-01", D("70"), "returned", "EUR"), ("stripe:ch_3", "2026-10-01", D("0"), "cancelled", "EUR"),
            ],
            ("subscriptions", "subscription_id, plan, amount, period_months, ended_at, CAST(trial_until AS VARCHAR)"): [("stripe:sub_1", "gold", D("120"), 12, None, "2026-09-15 10:00:00+00")],
        },
    ),
    Case(
        name="google_ads",
        files={
            "exports/google_ads/campaigns.csv": 'Campaign report\n"October 1, 2026 - October 2, 2026"\nDay,Campaign,Campaign status,Campaign type,Currency code,Cost,Impr.,Clicks,Conversions\n'
            '2026-10-01,Brand,Enabled,Search,EUR,"2,520.00","7,500",300,12\n2026-10-02,Brand,Enabled,Search,EUR,10.50,100,3,0\nTotal: Account,,,,,"2,530.50","7,600",303,12\n',
        },
        expected={("ad_spend", "CAST(local_day AS VARCHAR), platform, channel, campaign, amount, impressions, clicks"): [("2026-10-01", "google_ads", "paid_search", "Brand", D("2520"), 7500, 300), ("2026-10-02", "google_ads", "paid_search", "Brand", D("10.5"), 100, 3)]},
    ),
    Case(
        name="meta_ads",
        files={"exports/meta_ads/report.csv": "Campaign name,Day,Impressions,Amount spent (EUR),Link clicks,Reach,Reporting starts,Reporting ends\nAutumn,2026-10-01,4210,42.18,86,4000,2026-10-01,2026-10-02\n,2026-10-01,4210,42.18,86,4000,2026-10-01,2026-10-02\n"},
        expected={("ad_spend", "CAST(local_day AS VARCHAR), platform, channel, campaign, amount, clicks"): [("2026-10-01", "meta_ads", "paid_social", "Autumn", D("42.18"), 86)]},
    ),
    Case(
        name="linkedin_ads",
        files={
            "exports/linkedin_ads/report.csv": "Campaign Performance Report (in UTC)\nReport Start: October 1, 2026, 12:00 AM\n\nStart Date (in UTC)\tAccount Name\tCampaign Group Name\tCampaign Name\tTotal Spent\tImpressions\tClicks\n10/01/2026\tOurs\tAll\tB2B\t12.50\t900\t7\n".encode("utf-16"),
        },
        expected={("ad_spend", "CAST(local_day AS VARCHAR), platform, campaign, amount, impressions"): [("2026-10-01", "linkedin_ads", "B2B", D("12.5"), 900)]},
    ),
    Case(
        name="tiktok_ads",
        files={"exports/tiktok_ads/report.csv": "By Day,Campaign name,Ad name,Cost,Impressions,Clicks (destination)\n2026-10-03,Winter,ugc-01,\"1,234.50\",120000,1800\nTotal of 1 results,,,\"1,234.50\",120000,1800\n"},
        expected={("ad_spend", "CAST(local_day AS VARCHAR), platform, campaign, amount, impressions, clicks"): [("2026-10-03", "tiktok_ads", "Winter", D("1234.5"), 120000, 1800)]},
    ),
    Case(
        name="linkedin_contacts",
        files={"exports/linkedin/Connections.csv": 'Notes:\n"When exporting your connection data, some addresses are missing."\n\nFirst Name,Last Name,URL,Email Address,Company,Position,Connected On\nAnn,Example,https://www.linkedin.com/in/ann,,Acme,Buyer,30 Jan 2026\n'},
        expected={("contacts", "contact_id, kind, company, job_title, CAST(occurred_at AS VARCHAR)"): [("linkedin_contacts:https://www.linkedin.com/in/ann", "company_contact", "Acme", "Buyer", "2026-01-29 23:00:00+00")]},
    ),
    Case(
        name="zendesk",
        files={
            "exports/zendesk/tickets.csv": cells(
                ZENDESK, {"Id": "35", "Requester id": "9", "Requester email": "a@x.de", "Subject": "Where is it", "Status": "Solved", "Via": "Mail", "Ticket type": "Question", "Created at": "2026-10-01 10:00", "Solved at": "2026-10-02 11:00", "Satisfaction Score": "Good"},
                {"Id": "36", "Requester id": "9", "Requester email": "a@x.de", "Subject": "Spam", "Status": "Deleted", "Via": "Mail", "Created at": "2026-10-01 10:00"}, {"Id": "37", "Requester email": "b@x.de", "Subject": "Other", "Status": "Pending", "Via": "Web form", "Created at": "2026-10-01 10:00", "Satisfaction Score": "Offered"},
            ),
        },
        expected={("tickets", "ticket_id, topic, status, channel, CAST(solved_at AS VARCHAR), satisfaction"): [("zendesk:35", "Question", "solved", "email", "2026-10-02 09:00:00+00", 5), ("zendesk:37", "Other", "open", "web", None, None)]},
    ),
    Case(
        name="ga4",
        files={
            "exports/ga4/events_20261001.json": "".join(
                json.dumps(one) + "\n"
                for one in (
                    event("page_view", 1_790_848_800_000_000, "c1", page_location="https://shop.example/mugs?utm_source=google", ga_session_id=17, page_referrer="https://www.google.com/"),
                    event("purchase", 1_790_848_860_000_000, None, page_location="https://shop.example/thanks", ga_session_id=17, value=59.9, currency="EUR"),
                )
            ),
        },
        expected={
            ("events", "name, kind, CAST(occurred_at AS VARCHAR), session_key, channel, campaign, platform, page_path, value"): [
                ("checkout_confirmed", "track", "2026-10-01 10:01:00+00", 17, "paid_search", "autumn", "web", "/thanks", D("59.9")), ("page_viewed", "page", "2026-10-01 10:00:00+00", 17, "paid_search", "autumn", "web", "/mugs", None),
            ],
        },
    ),
    Case(
        name="square_till",
        files={
            "exports/square/items-2026-10.csv": cells(
                SQUARE, {"Date": "2026-10-05", "Time": "10:15:00", "Item": "Manicure", "Qty": "1", "Net Sales": "$45.00", "Tax": "$0.00", "Transaction ID": "T1", "Event Type": "Payment", "Customer ID": "C1"},
                {"Date": "2026-10-05", "Time": "10:15:00", "Item": "Cream", "SKU": "CR", "Qty": "2", "Net Sales": "$20.00", "Tax": "$0.00", "Transaction ID": "T1", "Event Type": "Payment", "Customer ID": "C1"},
            ).replace("$", ""),
        },
        expected={
            ("orders", "order_id, CAST(occurred_at AS VARCHAR), net, status, channel"): [("square_till:T1", "2026-10-05 08:15:00+00", D("65"), "completed", "till")],
            ("order_lines", "line_id, product_id, quantity, net"): [("square_till:T1-1", "Manicure", D("1"), D("45")), ("square_till:T1-2", "CR", D("2"), D("20"))],
        },
    ),
    Case(
        name="till",
        files={"exports/till/receipts-monday.csv": "receipt;line;sold_at;article;quantity;price;tax_rate;discount;card\nR1;1;05.10.2026 10:15;MUG;2;11,90;19;0;K1\nR1;2;05.10.2026 10:15;MUG;-1;11,90;19;0;K1\n"},
        expected={("orders", "order_id, net, status"): [("till:R1", D("10"), "completed")], ("order_lines", "line_id, quantity, net, gross"): [("till:R1-1", D("2"), D("20"), D("23.8")), ("till:R1-2", D("-1"), D("-10"), D("-11.9"))]},
    ),
    Case(
        name="stock",
        files={"exports/stock/monday.csv": "article;place;pieces;counted_at\nMUG;Berlin;5;05.10.2026 20:00\n"},
        expected={("stock_levels", "product_id, place, quantity, CAST(occurred_at AS VARCHAR)"): [("MUG", "Berlin", 5, "2026-10-05 18:00:00+00")]},
    ),
    Case(
        name="social",
        files={"exports/social/week.csv": "id,at,network,kind,sentiment,handle\n1,2026-10-01T10:00:00Z,Instagram,DM,0.5,@ann\n2,2026-10-01T10:00:00Z,Instagram,poke,,@bo\n"},
        expected={("social_contacts", "contact_id, network, kind, sentiment"): [("social:1", "instagram", "message", 0.5)]},
        held=1,
    ),
)
BY_INTERFACE = {"shopify_api", "woocommerce"}
"""Ready mappings that read an interface: test_rest.py has them."""


@pytest.fixture
def placed(shop: Shop, request: pytest.FixtureRequest) -> Shop:
    """A workspace with a case's mapping and files."""
    case: Case = request.param
    for name, content in case.files.items():
        (shop.root / name).parent.mkdir(parents=True, exist_ok=True)
        shop.write(name, content)
    ready.add(shop.root, case.name)
    return shop


@pytest.mark.parametrize("placed,case", [pytest.param(case, case, id=case.name) for case in CASES], indirect=["placed"])
def test_documented_files_become_the_rows_they_should(placed: Shop, case: Case) -> None:
    landed = placed.land(case.name)
    assert landed.quarantined == case.held, placed.rows("quarantined_records", 'what, "where", mend')
    for (table, columns), rows in case.expected.items():
        assert placed.rows(table, columns, "ORDER BY 1, 2") == list(rows), table
    given = ready.named(case.name).source
    assert placed.rows("source_systems", "source, party, known_from") == [(case.name, given.party, given.known_from)]
    again = placed.land(case.name)
    assert (again.rows, again.changed, again.batches) == ({}, {}, ())


@pytest.mark.parametrize("placed,case", [pytest.param(case, case, id=case.name) for case in CASES], indirect=["placed"])
def test_a_missing_column_is_told_with_place_and_mend(placed: Shop, case: Case) -> None:
    """The first column of the first file that the mapping reads is renamed; nothing lands."""
    name, content = next(iter(case.files.items()))
    given = ready.named(case.name).source
    encoding = "utf-16" if isinstance(content, bytes) else "utf-8"
    text = content.decode(encoding) if isinstance(content, bytes) else content
    read = sorted({column.partition(".")[0] for column in needed(given.inputs[0])})
    if case.name == "ga4":
        column = "event_name"
        wrong = text.replace(f'"{column}"', f'"{column}_"')
    else:
        delimiter = given.inputs[0].delimiter or given.delimiter
        header = next(line for line in text.splitlines() if len(set(line.split(delimiter)) & set(read)) > 2)
        column = next(cell for cell in header.split(delimiter) if cell in read)
        wrong = text.replace(header, delimiter.join(f"{cell}_" if cell == column else cell for cell in header.split(delimiter)))
    placed.write(name, wrong.encode(encoding))
    with pytest.raises(SourceError) as caught:
        placed.land(case.name)
    fault = next(fault for fault in caught.value.faults if column in fault.what)
    assert f"column '{column}' is missing" in fault.what and Path(name).name in fault.at and f"{column}_" in fault.mend
    assert placed.rows("orders", "count(*)") == [(0,)] and placed.rows("contacts", "count(*)") == [(0,)]


def test_every_ready_mapping_has_a_test_and_says_what_it_is_known_from() -> None:
    found = ready.listed()
    assert {one.name for one in found} == {case.name for case in CASES} | BY_INTERFACE
    for one in found:
        assert check(one.name, one.source) == [], one.name
        assert one.source.known_from and one.source.documentation and one.source.meaning, one.name
        assert one.text.startswith("# "), f"{one.name}: the first line says what it is for"
    assert {one.source.party for one in found} >= {"first", "third"}


def test_adding_writes_a_file_that_is_the_workspaces_own(shop: Shop) -> None:
    added = ready.add(shop.root, "shopify", files=["orders=in/sold-*.csv"], into="laden")
    text = added.path.read_text(encoding="utf-8")
    assert added.path.name == "laden.yaml" and text.count("files: in/sold-*.csv") == 2 and "exports/shopify/customers*.csv" in text
    shop.write("in/sold-1.csv", CASES[0].files["exports/shopify/orders_export.csv"])
    assert shop.land("laden").rows["orders"] == 3
    assert ready.add(shop.root, "meta_ads", files=["s3://ads/meta/*.csv"]).found == ()
    assert load(shop.root).sources["meta_ads"].inputs[0].files == ("s3://ads/meta/*.csv",)
    for name, files, told in (
        ("shopify", ["x.csv"], "several kinds of files"), ("shopify", ["order=x.csv"], "no files called 'order'"), ("shopfy", [], "there is no ready mapping 'shopfy'"), ("woocommerce", ["x.csv"], "reads an interface"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=told):
            ready.add(shop.root, name, files=files, into="other")
    with pytest.raises(ConfigError, match="there is a source 'laden' already"):
        ready.add(shop.root, "stock", into="laden")


def test_states_without_a_date_are_as_of_the_import_and_change_only_when_they_change(shop: Shop) -> None:
    ready.add(shop.root, "shopify")
    (shop.root / "exports/shopify").mkdir(parents=True)
    row = {"Customer ID": "'1", "Email": "a@x.de", "First Name": "Ann"}
    shop.write("exports/shopify/customers-1.csv", cells(SHOPIFY_CUSTOMERS, row))
    shop.land("shopify")
    later = dt.datetime(2026, 11, 5, tzinfo=dt.UTC)
    shop.write("exports/shopify/customers-2.csv", cells(SHOPIFY_CUSTOMERS, row, {"Customer ID": "'2", "Email": "b@x.de"}))
    second = shop.land("shopify", now=later)
    assert second.rows["contacts"] == 1 and second.changed == {}
    shop.write("exports/shopify/customers-3.csv", cells(SHOPIFY_CUSTOMERS, row | {"First Name": "Anna"}))
    assert shop.land("shopify", now=later).changed == {"contacts": 1}
    assert shop.rows("contacts", "contact_id, first_name, CAST(occurred_at AS VARCHAR)", "ORDER BY 1") == [("shopify:1", "Anna", "2026-11-05 00:00:00+00"), ("shopify:2", None, "2026-11-05 00:00:00+00")]


def test_ga4_tables_as_parquet_are_the_same_as_lines(shop: Shop) -> None:
    case = next(case for case in CASES if case.name == "ga4")
    text = case.files["exports/ga4/events_20261001.json"]
    assert isinstance(text, str)
    rows = [json.loads(line) | {"event_timestamp": int(json.loads(line)["event_timestamp"])} for line in text.splitlines()]
    for row in rows:
        for pair in row["event_params"]:
            pair["value"]["int_value"] = None if pair["value"]["int_value"] is None else int(pair["value"]["int_value"])
    ready.add(shop.root, "ga4")
    (shop.root / "exports/ga4").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), shop.root / "exports/ga4/events_20261001.parquet")
    shop.land("ga4")
    shop.write("exports/ga4/events_20261001.json", text)
    assert shop.land("ga4").rows == {}, "the same events in the other form are known by their ids"
    for (table, columns), expected in case.expected.items():
        assert shop.rows(table, columns, "ORDER BY 1, 2") == list(expected)


def test_a_report_in_another_encoding_or_without_its_option_is_told(shop: Shop) -> None:
    ready.add(shop.root, "linkedin_ads")
    (shop.root / "exports/linkedin_ads").mkdir(parents=True)
    shop.write("exports/linkedin_ads/r.csv", b"Start Date (in UTC)\tCampaign Name\n10/01/2026\tB2B\n")
    with pytest.raises(SourceError, match="the file is not utf-16"):
        shop.land("linkedin_ads")
    path = shop.root / "sources/linkedin_ads.yaml"
    path.write_text(path.read_text().replace("{begins: 'Start Date (in UTC)'}", "{other: x}"))
    with pytest.raises(SourceError, match="a report needs the option `begins`"):
        shop.land("linkedin_ads")


def test_a_report_finer_than_campaigns_is_refused_and_can_be_mended(shop: Shop) -> None:
    """By ad group the last row of a campaign's day would stand for all of them: spend would be lost in silence."""
    ready.add(shop.root, "google_ads")
    (shop.root / "exports/google_ads").mkdir(parents=True)
    shop.write("exports/google_ads/r.csv", "Day,Campaign,Ad group,Campaign type,Currency code,Cost,Impr.,Clicks\n2026-10-01,Brand,A,Search,EUR,10,1,1\n2026-10-01,Brand,B,Search,EUR,20,1,1\n")
    with pytest.raises(SourceError, match="2 rows with several amounts for the campaign 'Brand' on 2026-10-01") as caught:
        shop.land("google_ads")
    assert "r.csv" in str(caught.value) and "by campaign and day" in str(caught.value) and shop.lake.snapshot() == 0
    path = shop.root / "sources/google_ads.yaml"
    path.write_text(path.read_text().replace("campaign: Campaign", "campaign: {concat: [Campaign, Ad group], with: ' / '}"))
    shop.land("google_ads")
    assert shop.rows("ad_spend", "campaign, amount", "ORDER BY 1") == [("Brand / A", D("10")), ("Brand / B", D("20"))]
