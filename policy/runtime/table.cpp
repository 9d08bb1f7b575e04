#include "policy/runtime/table.h"

#include <cstring>
#include <new>
#include <utility>

#include "policy/runtime/image_codec.h"
#include "policy/runtime/table_impl.h"

namespace sallyport {
namespace {

constexpr size_t kPayloadAlignment = 64;

Refusal refusal_of(hs_error_t error) noexcept {
  switch (error) {
    case HS_SUCCESS:
      return Refusal::none;
    case HS_NOMEM:
      return Refusal::no_memory;
    case HS_DB_VERSION_ERROR:
    case HS_DB_PLATFORM_ERROR:
    case HS_ARCH_ERROR:
      return Refusal::foreign_cpu;
    default:
      return Refusal::bad_content;
  }
}

Refusal copy_payload(std::span<const uint8_t> payload, TableCore& core) noexcept {
  const size_t bytes = (payload.size() + kPayloadAlignment) & ~(kPayloadAlignment - 1);
  core.payload.reset(static_cast<uint8_t*>(std::aligned_alloc(kPayloadAlignment, bytes)));
  if (!core.payload) return Refusal::no_memory;
  if (!payload.empty()) std::memcpy(core.payload.get(), payload.data(), payload.size());
  return Refusal::none;
}

Refusal verify_payload(size_t bytes, TableCore& core) {
  flatbuffers::Verifier::Options options;
  options.max_depth = 8;
  options.max_tables = kMaxRules + 16;
  flatbuffers::Verifier verifier(core.payload.get(), bytes, options);
  if (!fb::VerifyImageBuffer(verifier)) return Refusal::bad_structure;
  core.image = fb::GetImage(core.payload.get());
  return check_content(*core.image) ? Refusal::none : Refusal::bad_content;
}

template <typename T>
std::span<const T> span_of(const flatbuffers::Vector<T>& vector) {
  return {vector.data(), vector.size()};
}

template <typename T>
std::span<const T> span_of(const flatbuffers::Vector<const T*>& structs) {
  return {reinterpret_cast<const T*>(structs.Data()), structs.size()};
}

std::vector<std::string_view> views_of(
    const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>& strings) {
  std::vector<std::string_view> out;
  out.reserve(strings.size());
  for (const auto* string : strings) out.push_back(string->string_view());
  return out;
}

/// Both sides number these alike; image.fbs says so.
template <typename To, typename From>
To enum_of(From value) noexcept {
  return static_cast<To>(value);
}

RuleInfo rule_of(const fb::Image& image, const fb::Rule& rule) {
  const fb::Policy& policy = *image.policies()->Get(rule.policy());
  return {.policy = policy.name()->string_view(),
          .name = rule.name()->string_view(),
          .terms = {.action = enum_of<RuleAction>(rule.action()),
                    .tier = enum_of<Tier>(policy.tier()),
                    .mode = enum_of<PolicyMode>(policy.mode()),
                    .on_deny = enum_of<OnDeny>(rule.on_deny()),
                    .log = enum_of<LogLevel>(rule.log()),
                    .binding = enum_of<DestinationBinding>(rule.binding()),
                    .budget = {.bytes_out = rule.budget_bytes(),
                               .window_seconds = rule.budget_window(),
                               .scope = enum_of<BudgetScope>(rule.budget_scope()),
                               .on_exceed = enum_of<OnExceed>(rule.on_exceed())}}};
}

void bind_conditions(TableCore& core) {
  const auto& conditions = *core.image->conditions();
  for (uint32_t kind = 0; kind < kConditions; ++kind) {
    const fb::Condition& condition = *conditions.Get(kind);
    const SetView constrained = core.set(condition.constrained());
    if (constrained.first() != constrained.end()) core.active |= condition_bit(kind);
    core.conditions[kind] = {.base = condition.base(),
                             .constrained = condition.constrained(),
                             .sets = span_of(*condition.sets())};
  }
}

void bind_views(TableCore& core) {
  const fb::Image& image = *core.image;
  core.clause_rules = span_of(*image.clause_rules());
  core.tier_ends = span_of(*image.tier_ends());
  core.sets = span_of(*image.sets());
  core.summaries = span_of(*image.summaries()).data();
  core.words = image.words()->data();
  core.source = {span_of(*image.source()->starts()), span_of(*image.source()->sets()),
                 image.source()->base()};
  core.destination = {span_of(*image.destination()->starts()),
                      span_of(*image.destination()->sets()), image.destination()->base()};
  core.tcp = {span_of(*image.tcp()->starts()), span_of(*image.tcp()->sets())};
  core.udp = {span_of(*image.udp()->starts()), span_of(*image.udp()->sets())};
  core.time = {span_of(*image.time()->starts()), span_of(*image.time()->sets()),
               image.time()->base()};
  core.l4_base = image.l4_base();
  core.icmp = image.icmp();
  core.header_patterns = span_of(*image.header_patterns());
  core.rules.reserve(image.rules()->size());
  for (const fb::Rule* rule : *image.rules()) core.rules.push_back(rule_of(image, *rule));
  core.alpns = views_of(*image.alpns());
  core.ja4s = views_of(*image.ja4s());
  core.methods = views_of(*image.methods());
  core.header_names = views_of(*image.header_names());
  bind_conditions(core);
}

Refusal load_database(const flatbuffers::Vector<uint8_t>* bytes, Database& out) {
  if (bytes == nullptr || bytes->size() == 0) return Refusal::none;
  hs_database_t* database = nullptr;
  const auto* data = reinterpret_cast<const char*>(bytes->data());
  const hs_error_t error = hs_deserialize_database(data, bytes->size(), &database);
  out.reset(database);
  return refusal_of(error);
}

Refusal load_databases(TableCore& core) {
  if (hs_valid_platform() != HS_SUCCESS) return Refusal::foreign_cpu;
  const fb::Image& image = *core.image;
  Refusal refusal = load_database(image.name_literals(), core.name_literals);
  if (refusal == Refusal::none) refusal = load_database(image.name_regexes(), core.name_regexes);
  if (refusal == Refusal::none) refusal = load_database(image.paths(), core.paths);
  if (refusal == Refusal::none) refusal = load_database(image.headers(), core.headers);
  return refusal;
}

/// Scratch that serves every database of the table.
Refusal allocate_scratch(const TableCore& core, WorkerScratch& worker) {
  hs_scratch_t* scratch = nullptr;
  for (const Database* database :
       {&core.name_literals, &core.name_regexes, &core.paths, &core.headers}) {
    if (!*database) continue;
    const hs_error_t error = hs_alloc_scratch(database->get(), &scratch);
    if (error != HS_SUCCESS) {
      hs_free_scratch(scratch);  // Grown in place: what an earlier database had.
      return refusal_of(error);
    }
  }
  worker.hyperscan.reset(scratch);
  return Refusal::none;
}

Refusal ready_workers(unsigned workers, TableCore& core) {
  core.workers.resize(workers);
  const auto clauses = static_cast<uint32_t>(core.clause_rules.size());
  const size_t pattern_words = (core.header_patterns.size() + 63) / 64;
  for (WorkerScratch& worker : core.workers) {
    if (const Refusal refusal = allocate_scratch(core, worker); refusal != Refusal::none) {
      return refusal;
    }
    worker.unions.resize(kConditions);
    for (size_t kind = 0; kind < kConditions; ++kind) {
      if ((core.active & condition_bit(kind)) != 0) worker.unions[kind] = ClauseUnion(clauses);
    }
    worker.header_values.resize(pattern_words);
    worker.header_line.resize(pattern_words);
  }
  return Refusal::none;
}

std::expected<std::shared_ptr<TableCore>, Refusal> load_core(std::span<const uint8_t> image,
                                                             unsigned workers) {
  const auto opened = open_image(image);
  if (!opened) return std::unexpected(opened.error());
  auto core = std::make_shared<TableCore>();
  core->revision = opened->revision;
  Refusal refusal = copy_payload(opened->payload, *core);
  if (refusal == Refusal::none) refusal = verify_payload(opened->payload.size(), *core);
  if (refusal == Refusal::none) refusal = load_databases(*core);
  if (refusal != Refusal::none) return std::unexpected(refusal);
  bind_views(*core);
  refusal = ready_workers(workers, *core);
  if (refusal != Refusal::none) return std::unexpected(refusal);
  return core;
}

}  // namespace

std::expected<std::unique_ptr<PolicyTable>, Refusal> PolicyTable::load(
    std::span<const uint8_t> image, unsigned workers) {
  try {
    auto core = load_core(image, workers);
    if (!core) return std::unexpected(core.error());
    return std::unique_ptr<PolicyTable>(
        new PolicyTable(std::make_unique<Impl>(std::move(*core), nullptr)));
  } catch (const std::bad_alloc&) {
    return std::unexpected(Refusal::no_memory);
  }
}

std::expected<std::unique_ptr<PolicyTable>, Refusal> PolicyTable::with_identities(
    std::span<const Identity> identities) const {
  try {
    return with_feed(make_identity_feed(identities));
  } catch (const std::bad_alloc&) {
    return std::unexpected(Refusal::no_memory);
  }
}

std::expected<std::unique_ptr<PolicyTable>, Refusal> PolicyTable::with_feed(
    const IdentityFeed& feed) const {
  try {
    auto binding = std::make_unique<IdentityBinding>(*impl_->core, feed);
    if (!binding->ok()) return std::unexpected(Refusal::too_large);
    return std::unique_ptr<PolicyTable>(
        new PolicyTable(std::make_unique<Impl>(impl_->core, std::move(binding))));
  } catch (const std::bad_alloc&) {
    return std::unexpected(Refusal::no_memory);
  }
}

std::unique_ptr<PolicyTable> PolicyTable::again() const {
  return std::unique_ptr<PolicyTable>(
      new PolicyTable(std::make_unique<Impl>(impl_->core, impl_->identities)));
}

PolicyTable::PolicyTable(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
PolicyTable::~PolicyTable() = default;

uint64_t PolicyTable::take_scan_ticks(unsigned worker) const noexcept {
  auto& workers = impl_->core->workers;
  return worker < workers.size() ? std::exchange(workers[worker].scan_ticks, 0) : 0;
}

uint64_t PolicyTable::revision() const noexcept {
  return impl_->core->revision;
}
uint32_t PolicyTable::rule_count() const noexcept {
  return static_cast<uint32_t>(impl_->core->rules.size());
}

uint32_t PolicyTable::rules_in_time(int64_t unix_seconds) const noexcept {
  const TimeLookup& time = impl_->core->time;
  return time.trivial() ? 0 : time.find(unix_seconds);
}

RuleInfo PolicyTable::rule(uint32_t index) const noexcept {
  return index < rule_count() ? impl_->core->rules[index] : RuleInfo{};
}

std::span<const std::string_view> PolicyTable::header_names() const noexcept {
  return impl_->core->header_names;
}

std::string_view PolicyTable::labels_of(const IpAddress& source) const noexcept {
  return impl_->identities != nullptr ? impl_->identities->labels(key_of(source)) : "";
}

}  // namespace sallyport
