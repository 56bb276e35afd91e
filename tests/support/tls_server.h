#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "tests/support/raw_server.h"

namespace spolia::testing {

// A key and a certificate signed with it, for the names given as OpenSSL writes them:
// "IP:127.0.0.1,DNS:localhost".
class SelfSigned {
public:
    explicit SelfSigned(const std::string& names)
        : key_(EVP_EC_gen("P-256"), EVP_PKEY_free), certificate_(X509_new(), X509_free) {
        X509* x509 = certificate_.get();
        X509_set_version(x509, 2);
        ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
        X509_gmtime_adj(X509_getm_notBefore(x509), -60);
        X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
        X509_set_pubkey(x509, key_.get());
        X509_NAME* subject = X509_get_subject_name(x509);
        X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
        X509_set_issuer_name(x509, subject);
        X509V3_CTX context;
        X509V3_set_ctx(&context, x509, x509, nullptr, nullptr, 0);
        X509_EXTENSION* extension =
            X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name, names.c_str());
        X509_add_ext(x509, extension, -1);
        X509_EXTENSION_free(extension);
        X509_sign(x509, key_.get(), EVP_sha256());
    }

    EVP_PKEY* key() const { return key_.get(); }
    X509* certificate() const { return certificate_.get(); }

    void write(const std::filesystem::path& path) const {
        const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "w"),
                                                         std::fclose);
        PEM_write_X509(file.get(), certificate_.get());
    }

private:
    std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key_;
    std::unique_ptr<X509, void (*)(X509*)> certificate_;
};

// The serving side of TLS over an accepted connection.
class TlsPeer {
public:
    TlsPeer(RawPeer peer, const SelfSigned& identity)
        : peer_(std::move(peer)),
          context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free),
          ssl_(nullptr, SSL_free) {
        SSL_CTX_use_certificate(context_.get(), identity.certificate());
        SSL_CTX_use_PrivateKey(context_.get(), identity.key());
        ssl_.reset(SSL_new(context_.get()));
        SSL_set_fd(ssl_.get(), peer_.socket());
    }

    bool shake_hands() { return SSL_accept(ssl_.get()) == 1; }
    // The name that the client asked for; empty: none.
    std::string server_name() const {
        const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
        return name == nullptr ? "" : name;
    }
    std::string read_through(std::string_view text) {
        std::string got;
        char byte;
        while (!got.ends_with(text) && SSL_read(ssl_.get(), &byte, 1) == 1) got += byte;
        return got;
    }
    void send(std::string_view bytes) {
        SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
    }

private:
    RawPeer peer_;
    std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
    std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
};

}  // namespace spolia::testing
