#include "libvirt-driver/rpc/types.h"

namespace lodge::rpc {

void Xdr<TypedParam>::put(XdrWriter& out, const TypedParam& param) {
  Xdr<std::string>::put(out, param.field);
  out.put32(static_cast<uint32_t>(param.value.index() + 1));
  std::visit([&]<class T>(const T& value) { Xdr<T>::put(out, value); }, param.value);
}

namespace {

template <size_t Index>
Result<TypedParam::Value> get_value(XdrReader& in, uint32_t index) {
  if constexpr (Index < std::variant_size_v<TypedParam::Value>) {
    if (index == Index) {
      using T = std::variant_alternative_t<Index, TypedParam::Value>;
      return TypedParam::Value(std::in_place_index<Index>, TRY(Xdr<T>::get(in)));
    }
    return get_value<Index + 1>(in, index);
  }
  return fail("a typed parameter has the unknown type {}", index + 1);
}

}  // namespace

Result<TypedParam> Xdr<TypedParam>::get(XdrReader& in) {
  TypedParam param;
  param.field = TRY(Xdr<std::string>::get(in));
  param.value = TRY(get_value<0>(in, TRY(in.get32()) - 1));
  return param;
}

}  // namespace lodge::rpc
