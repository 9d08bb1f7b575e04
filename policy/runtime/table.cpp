#include "policy/runtime/table.h"

#include <cstring>
#include <new>
#include <utility>

#include "policy/runtime/image_codec.h"
#include "policy/runtime/table_impl.h"

namespace sallyport {
namespace {

using Impl = PolicyTable::Impl;

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

Refusal copy_payload(std::span<const uint8_t> payload, Impl& impl) noexcept {
  const size_t bytes = (payload.size() + kPayloadAlignment) & ~(kPayloadAlignment - 1);
  impl.payload.reset(static_cast<uint8_t*>(std::aligned_alloc(kPayloadAlignment, bytes)));
  if (!impl.payload) return Refusal::no_memory;
  if (!payload.empty()) std::memcpy(impl.payload.get(), payload.data(), payload.size());
  return Refusal::none;
}

Refusal verify_payload(size_t bytes, Impl& impl) {
  flatbuffers::Verifier::Options options;
  options.max_depth = 8;
  options.max_tables = kMaxRules + 16;
  flatbuffers::Verifier verifier(impl.payload.get(), bytes, options);
  if (!fb::VerifyImageBuffer(verifier)) return Refusal::bad_structure;
  impl.image = fb::GetImage(impl.payload.get());
  return check_content(*impl.image) ? Refusal::none : Refusal::bad_content;
}

template <typename T>
std::span<const T> span_of(const flatbuffers::Vector<T>& vector) {
  return {vector.data(), vector.size()};
}

template <typename T>
std::span<const T> span_of(const flatbuffers::Vector<const T*>& structs) {
  return {reinterpret_cast<const T*>(structs.Data()), structs.size()};
}

AddressLookup lookup_of(const fb::AddressMap& map) {
  return {map.base(), span_of(*map.starts()), span_of(*map.sets())};
}

PortLookup lookup_of(const fb::PortMap& map) {
  return {span_of(*map.starts()), span_of(*map.sets())};
}

void bind_views(Impl& impl) {
  const fb::Image& image = *impl.image;
  impl.clause_rules = span_of(*image.clause_rules());
  impl.sets = span_of(*image.sets());
  impl.summaries = span_of(*image.summaries()).data();
  impl.words = image.words()->data();
  impl.source = lookup_of(*image.source());
  impl.destination = lookup_of(*image.destination());
  impl.tcp = lookup_of(*image.tcp());
  impl.udp = lookup_of(*image.udp());
  impl.app_sets = span_of(*image.app()->sets());
  impl.literal_sets = span_of(*image.name()->literal_sets());
}

Refusal load_database(unsigned workers, Impl& impl) {
  if (hs_valid_platform() != HS_SUCCESS) return Refusal::foreign_cpu;
  impl.scratch.resize(workers);
  const auto* bytes = impl.image->name()->database();
  if (bytes == nullptr || bytes->size() == 0) return Refusal::none;
  hs_database_t* database = nullptr;
  const auto* data = reinterpret_cast<const char*>(bytes->data());
  if (const auto error = hs_deserialize_database(data, bytes->size(), &database); error != 0) {
    return refusal_of(error);
  }
  impl.database.reset(database);
  hs_scratch_t* first = nullptr;
  if (workers == 0) return Refusal::none;
  if (const auto error = hs_alloc_scratch(database, &first); error != 0) return refusal_of(error);
  impl.scratch[0].reset(first);
  for (unsigned i = 1; i < workers; ++i) {
    hs_scratch_t* clone = nullptr;
    if (const auto error = hs_clone_scratch(first, &clone); error != 0) return refusal_of(error);
    impl.scratch[i].reset(clone);
  }
  return Refusal::none;
}

std::expected<std::unique_ptr<Impl>, Refusal> load_impl(std::span<const uint8_t> image,
                                                        unsigned workers) {
  const auto opened = open_image(image);
  if (!opened) return std::unexpected(opened.error());
  auto impl = std::make_unique<Impl>();
  impl->revision = opened->revision;
  Refusal refusal = copy_payload(opened->payload, *impl);
  if (refusal == Refusal::none) refusal = verify_payload(opened->payload.size(), *impl);
  if (refusal == Refusal::none) refusal = load_database(workers, *impl);
  if (refusal != Refusal::none) return std::unexpected(refusal);
  bind_views(*impl);
  return impl;
}

}  // namespace

std::expected<std::unique_ptr<PolicyTable>, Refusal> PolicyTable::load(
    std::span<const uint8_t> image, unsigned workers) {
  try {
    auto impl = load_impl(image, workers);
    if (!impl) return std::unexpected(impl.error());
    return std::unique_ptr<PolicyTable>(new PolicyTable(std::move(*impl)));
  } catch (const std::bad_alloc&) {
    return std::unexpected(Refusal::no_memory);
  }
}

PolicyTable::PolicyTable(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
PolicyTable::~PolicyTable() = default;

uint64_t PolicyTable::revision() const noexcept {
  return impl_->revision;
}
uint32_t PolicyTable::rule_count() const noexcept {
  return impl_->image->rules()->size();
}

RuleInfo PolicyTable::rule(uint32_t index) const noexcept {
  if (index >= rule_count()) return {};
  const fb::Rule& rule = *impl_->image->rules()->Get(index);
  return {impl_->image->policies()->Get(rule.policy())->string_view(), rule.name()->string_view(),
          rule.action() == fb::Action::allow ? Verdict::allow : Verdict::deny};
}

}  // namespace sallyport
