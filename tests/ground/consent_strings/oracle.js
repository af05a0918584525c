// Strings that the frameworks' own encoders write, beside what their decoders read from them, one JSON object a line: node oracle.js COUNT SEED
import { createRequire } from "module";
const require = createRequire(import.meta.url);
const { GVL, TCModel, TCString, PurposeRestriction, SegmentEncoder, Segment } = require("@iabtcf/core");
const { GppModel } = require("@iabgpp/cmpapi");

const [count, seed] = process.argv.slice(2).map(Number);
let state = seed >>> 0;
const random = () => { state = (state + 0x6d2b79f5) | 0; let t = Math.imul(state ^ (state >>> 15), 1 | state); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 4294967296; };
const below = (most) => Math.floor(random() * most);
const some = (most, share) => Array.from({ length: most }, (_, place) => place + 1).filter(() => random() < share);
const letters = () => String.fromCharCode(65 + below(26), 65 + below(26));
const members = (vector) => { const found = []; vector.forEach((has, id) => { if (has) found.push(id); }); return found; };

const numbered = (most, make) => Object.fromEntries(Array.from({ length: most }, (_, place) => [place + 1, make(place + 1)]));
const all = Array.from({ length: 11 }, (_, place) => place + 1);
const vendor = (id) => ({ id, name: `vendor ${id}`, purposes: all, legIntPurposes: [], flexiblePurposes: all, specialPurposes: [], features: [], specialFeatures: [], policyUrl: "" });
const list = (version) => new GVL({ gvlSpecificationVersion: 3, vendorListVersion: version, tcfPolicyVersion: 5, lastUpdated: "2026-01-01T00:00:00Z", purposes: numbered(11, (id) => ({ id })),
  specialPurposes: {}, features: {}, specialFeatures: numbered(2, (id) => ({ id })), stacks: {}, vendors: numbered(60, vendor) });

function tcf() {
  const model = new TCModel(list(1 + below(4000)));
  const day = 86400000, created = Date.UTC(2020, 0, 1) + below(2500) * day;
  model.created = new Date(created); model.lastUpdated = new Date(created + below(100) * day);
  model.cmpId = 2 + below(4000); model.cmpVersion = 1 + below(90); model.consentScreen = below(60); model.consentLanguage = letters();
  model.policyVersion = 2 + below(4); model.isServiceSpecific = random() < 0.9; model.useNonStandardStacks = random() < 0.2; model.purposeOneTreatment = random() < 0.2; model.publisherCountryCode = letters();
  model.specialFeatureOptins.set(some(2, 0.5)); model.purposeConsents.set(some(11, 0.6)); model.purposeLegitimateInterests.set(some(11, 0.3));
  const most = [3, 40, 1200, 9000][below(4)], share = random() < 0.5 ? 0.02 : 0.9;
  model.vendorConsents.set(some(most, share)); model.vendorLegitimateInterests.set(some(most, 0.1));
  const restricted = below(4);
  for (let n = 0; n < restricted; n++) for (const vendor of some(60, 0.2)) model.publisherRestrictions.add(vendor, new PurposeRestriction(1 + below(11), below(3)));
  const parts = [SegmentEncoder.encode(model, Segment.CORE)];
  if (random() < 0.8) { model.vendorsDisclosed.set(some(most, 0.95)); parts.push(SegmentEncoder.encode(model, Segment.VENDORS_DISCLOSED)); }
  if (random() < 0.5) {
    model.publisherConsents.set(some(11, 0.5)); model.publisherLegitimateInterests.set(some(11, 0.3)); model.numCustomPurposes = below(5);
    model.publisherCustomConsents.set(some(model.numCustomPurposes, 0.5)); model.publisherCustomLegitimateInterests.set(some(model.numCustomPurposes, 0.5));
    parts.push(SegmentEncoder.encode(model, Segment.PUBLISHER_TC));
  }
  const text = parts.join("."), read = TCString.decode(text);
  const restrictions = read.publisherRestrictions.getRestrictions().map((one) => [one.purposeId, one.restrictionType, read.publisherRestrictions.getVendors(one)]);
  return { kind: "tcf", text, created: +read.created, last_updated: +read.lastUpdated, cmp_id: read.cmpId, cmp_version: read.cmpVersion, screen: read.consentScreen, language: read.consentLanguage.toUpperCase(),
    vendor_list_version: read.vendorListVersion, policy_version: read.policyVersion, service_specific: read.isServiceSpecific, non_standard_texts: read.useNonStandardTexts ?? read.useNonStandardStacks, purpose_one_treatment: read.purposeOneTreatment,
    publisher_country: read.publisherCountryCode, special_features: members(read.specialFeatureOptins), purposes: members(read.purposeConsents), legitimate_interests: members(read.purposeLegitimateInterests),
    vendors: members(read.vendorConsents), vendor_interests: members(read.vendorLegitimateInterests), restrictions, disclosed: parts.length > 1 && text.split(".").slice(1).some((part) => "IJKLMNOP".includes(part[0])) ? members(read.vendorsDisclosed) : null,
    publisher: [members(read.publisherConsents), members(read.publisherLegitimateInterests), members(read.publisherCustomConsents), members(read.publisherCustomLegitimateInterests)] };
}

const states = ["usnat", "usca", "usva", "usco", "usut", "usct", "usfl", "usmt", "usor", "ustx", "usde", "usia", "usne", "usnh", "usnj", "ustn", "usmn", "usmd", "usin", "usky", "usri"];
function gpp() {
  const model = new GppModel(), said = {};
  for (const name of states.filter(() => random() < 0.25)) {
    const one = {};
    for (const [field, key] of [["SaleOptOut", "sale"], ["SharingOptOut", "sharing"], ["TargetedAdvertisingOptOut", "targeted_advertising"]]) {
      const value = below(3);
      try { model.setFieldValue(name, field, value); one[key] = value; } catch { one[key] = 0; }
    }
    try { const gpc = random() < 0.4; model.setFieldValue(name, "GpcSegmentIncluded", gpc || random() < 0.5); model.setFieldValue(name, "Gpc", gpc); one.gpc = gpc; } catch { one.gpc = false; }
    said[name] = one;
  }
  if (random() < 0.5) { const sale = below(3); model.setFieldValue("uspv1", "Notice", "Y"); model.setFieldValue("uspv1", "OptOutSale", "-YN"[sale]); model.setFieldValue("uspv1", "LspaCovered", "N"); said.uspv1 = { sale, sharing: 0, targeted_advertising: 0, gpc: false }; }
  if (random() < 0.3) { model.setFieldValue("tcfcav1", "CmpId", 31); }
  const text = model.encode(), read = new GppModel(text);
  return { kind: "gpp", text, sections: read.getSectionIds(), said };
}

for (let n = 0; n < count; n++) console.log(JSON.stringify(n % 2 ? gpp() : tcf()));
