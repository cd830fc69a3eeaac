// A second implementation of docs/lot.md: nothing of this project, nothing but JDK 17.
// Reads a JSON array of jobs on standard input and writes an array of results; `java LotClient.java` runs it.
//   {"do":"build", ...the `inputs` of a vector; without salts, contentKey, ephemeralKey, nonce they are random}
//       -> {"headers":[[name,text]...],"value":base64}
//   {"do":"open","me":party,"sealingKey":JWK,"senders":{party:JWK},"headers":[[name,text]...],"value":base64}
//       -> {"items":[text...],"salts":[hex...],"root":b64u,"evidence":b64u or null} or {"refused":why}

import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import static java.nio.charset.StandardCharsets.UTF_8;
import java.security.*;
import java.security.spec.*;
import java.util.*;
import java.util.regex.*;
import java.util.stream.Collectors;
import javax.crypto.*;
import javax.crypto.spec.*;

public class LotClient {
    static final SecureRandom RANDOM = new SecureRandom();
    static final HexFormat HEX = HexFormat.of();
    static final List<String> NAMES = List.of("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time",
            "ce_deadline", "ce_items", "ce_replyto", "content-type", "signature", "seal");

    public static void main(String[] args) throws Exception {
        var results = new ArrayList<Object>();
        for (Object job : (List<?>) parse(new String(System.in.readAllBytes(), UTF_8))) {
            Map<String, Object> told = object(job);
            try {
                results.add(told.get("do").equals("build") ? build(told) : open(told));
            } catch (GeneralSecurityException | RuntimeException why) {
                results.add(Map.of("refused", String.valueOf(why)));
            }
        }
        System.out.write(utf8(text(results)));
        System.out.flush();
    }

    // §2 to §4, outwards

    static Map<String, Object> build(Map<String, Object> in) throws GeneralSecurityException {
        Map<String, Object> sender = object(in.get("sender")), recipient = object(in.get("recipient"));
        Map<String, Object> headers = object(in.get("headers"));
        List<?> items = (List<?>) in.get("items"), salts = (List<?>) in.get("salts");
        var frames = new ByteArrayOutputStream();
        var leaves = new ArrayList<byte[]>();
        for (int place = 0; place < items.size(); place++) {
            byte[] item = utf8((String) items.get(place));
            byte[] salt = salts == null ? random(16) : HEX.parseHex((String) salts.get(place));
            frames.writeBytes(join(number(item.length), salt, item));
            leaves.add(sha256(new byte[] {0}, salt, item));
        }

        var pair = KeyPairGenerator.getInstance("X25519").generateKeyPair();
        byte[] encoded = pair.getPublic().getEncoded();
        String x = b64u(Arrays.copyOfRange(encoded, encoded.length - 32, encoded.length));
        PrivateKey oneTime = pair.getPrivate();
        if (in.get("ephemeralKey") != null) {
            x = (String) object(in.get("ephemeralKey")).get("x");
            oneTime = privateKey(object(in.get("ephemeralKey")));
        }
        byte[] contentKey = in.get("contentKey") == null ? random(32) : HEX.parseHex((String) in.get("contentKey"));
        byte[] nonce = in.get("nonce") == null ? new byte[12] : HEX.parseHex((String) in.get("nonce"));
        Map<String, Object> theirs = object(recipient.get("sealingKey"));
        var wrap = Cipher.getInstance("AESWrap");
        wrap.init(Cipher.WRAP_MODE, wrappingKey(oneTime, publicKey(theirs)));
        byte[] wrapped = wrap.wrap(new SecretKeySpec(contentKey, "AES"));
        String header = b64u(utf8(text(members("alg", "ECDH-ES+A256KW", "enc", "A256GCM", "kid", theirs.get("kid"),
                "epk", members("kty", "OKP", "crv", "X25519", "x", x), "lot", headers.get("ce_id"),
                "from", sender.get("id"), "to", recipient.get("id")))));
        byte[] value = gcm(Cipher.ENCRYPT_MODE, contentKey, nonce, header, frames.toByteArray());

        var payload = members("headers", headers, "aud", recipient.get("id"), "root", b64u(tree(leaves)),
                "body", b64u(sha256(value)));
        if (in.get("evidence") != null) payload.put("evidence", in.get("evidence"));
        Map<String, Object> ours = object(sender.get("signingKey"));
        String signed = b64u(utf8(text(members("alg", "EdDSA", "kid", ours.get("kid")))))
                + "." + b64u(utf8(text(payload)));
        var signer = Signature.getInstance("Ed25519");
        signer.initSign(privateKey(ours));
        signer.update(utf8(signed));
        headers.put("signature", signed + "." + b64u(signer.sign()));
        headers.put("seal", header + "." + b64u(wrapped) + "." + b64u(nonce));
        var out = headers.entrySet().stream().map(entry -> List.of(entry.getKey(), entry.getValue())).toList();
        return members("headers", out, "value", Base64.getEncoder().encodeToString(value));
    }

    // §6, inwards

    static Map<String, Object> open(Map<String, Object> in) throws GeneralSecurityException {
        byte[] value = Base64.getDecoder().decode((String) in.get("value"));
        var known = new HashMap<String, Object>();
        for (Object entry : (List<?>) in.get("headers")) {
            String name = (String) ((List<?>) entry).get(0), text = (String) ((List<?>) entry).get(1);
            if (NAMES.contains(name)) check(known.put(name, text) == null, "header");
        }
        String[] jws = String.valueOf(known.remove("signature")).split("\\.", -1);
        String[] parts = String.valueOf(known.remove("seal")).split("\\.", -1);
        check(jws.length == 3 && parts.length == 3, "header");
        Map<String, Object> header = json(unb64u(jws[0])), claims = json(unb64u(jws[1]));
        Map<String, Object> theirs = object(object(in.get("senders")).get(known.get("ce_source")));
        check(theirs != null, "sender");
        check("EdDSA".equals(header.get("alg")) && theirs.get("kid").equals(header.get("kid")), "key");
        var verifier = Signature.getInstance("Ed25519");
        verifier.initVerify(publicKey(theirs));
        verifier.update(utf8(jws[0] + "." + jws[1]));
        check(verifier.verify(unb64u(jws[2])), "signature");
        check(known.equals(claims.get("headers")), "signature");
        check(in.get("me").equals(claims.get("aud")), "recipient");
        check(b64u(sha256(value)).equals(claims.get("body")), "body");

        Map<String, Object> sealed = json(unb64u(parts[0])), ours = object(in.get("sealingKey"));
        sealed.keySet().retainAll(Set.of("alg", "enc", "lot", "from", "to", "kid", "epk"));
        check(sealed.equals(members("alg", "ECDH-ES+A256KW", "enc", "A256GCM", "lot", known.get("ce_id"), "from",
                known.get("ce_source"), "to", in.get("me"), "kid", ours.get("kid"), "epk", sealed.get("epk"))), "seal");
        var unwrap = Cipher.getInstance("AESWrap");
        unwrap.init(Cipher.UNWRAP_MODE, wrappingKey(privateKey(ours), publicKey(object(sealed.get("epk")))));
        byte[] contentKey = unwrap.unwrap(unb64u(parts[1]), "AES", Cipher.SECRET_KEY).getEncoded();
        var frames = ByteBuffer.wrap(gcm(Cipher.DECRYPT_MODE, contentKey, unb64u(parts[2]), parts[0], value));

        var items = new ArrayList<Object>();
        var salts = new ArrayList<Object>();
        var leaves = new ArrayList<byte[]>();
        while (frames.hasRemaining()) {
            byte[] salt = new byte[16];
            int length = frames.getInt();
            check(length >= 0 && length <= frames.remaining() - 16 && items.size() < 256, "frame");
            byte[] item = new byte[length];
            frames.get(salt).get(item);
            leaves.add(sha256(new byte[] {0}, salt, item));
            salts.add(HEX.formatHex(salt));
            items.add(new String(item, UTF_8));
        }
        check(items.size() == Integer.parseInt((String) known.get("ce_items")) && !items.isEmpty(), "items");
        check(b64u(tree(leaves)).equals(claims.get("root")), "root");
        return members("items", items, "salts", salts, "root", claims.get("root"), "evidence", claims.get("evidence"));
    }

    // The steps

    static byte[] tree(List<byte[]> leaves) throws GeneralSecurityException {
        List<byte[]> level = leaves;
        while (level.size() > 1) {
            var next = new ArrayList<byte[]>();
            for (int i = 0; i + 1 < level.size(); i += 2)
                next.add(sha256(new byte[] {1}, level.get(i), level.get(i + 1)));
            if (level.size() % 2 == 1) next.add(level.get(level.size() - 1));
            level = next;
        }
        return level.get(0);
    }

    static SecretKey wrappingKey(PrivateKey mine, PublicKey theirs) throws GeneralSecurityException {
        var agreement = KeyAgreement.getInstance("X25519");
        agreement.init(mine);
        agreement.doPhase(theirs, true);
        byte[] name = utf8("ECDH-ES+A256KW");
        return new SecretKeySpec(sha256(number(1), agreement.generateSecret(), number(name.length), name, number(0),
                number(0), number(256)), "AES");
    }

    static byte[] gcm(int mode, byte[] key, byte[] nonce, String aad, byte[] data) throws GeneralSecurityException {
        var cipher = Cipher.getInstance("AES/GCM/NoPadding");
        cipher.init(mode, new SecretKeySpec(key, "AES"), new GCMParameterSpec(128, nonce));
        cipher.updateAAD(utf8(aad));
        return cipher.doFinal(data);
    }

    static PrivateKey privateKey(Map<String, Object> jwk) throws GeneralSecurityException {
        var der = new PKCS8EncodedKeySpec(der(jwk, "302e020100300506032b65%s04220420", "d"));
        return KeyFactory.getInstance((String) jwk.get("crv")).generatePrivate(der);
    }

    static PublicKey publicKey(Map<String, Object> jwk) throws GeneralSecurityException {
        var der = new X509EncodedKeySpec(der(jwk, "302a300506032b65%s032100", "x"));
        return KeyFactory.getInstance((String) jwk.get("crv")).generatePublic(der);
    }

    static byte[] der(Map<String, Object> jwk, String prefix, String raw) {
        String oid = jwk.get("crv").equals("Ed25519") ? "70" : "6e";
        return join(HEX.parseHex(prefix.formatted(oid)), unb64u((String) jwk.get(raw)));
    }

    static byte[] sha256(byte[]... parts) throws GeneralSecurityException {
        return MessageDigest.getInstance("SHA-256").digest(join(parts));
    }

    static byte[] join(byte[]... parts) {
        var out = new ByteArrayOutputStream();
        for (byte[] part : parts) out.writeBytes(part);
        return out.toByteArray();
    }

    static byte[] number(int value) { return ByteBuffer.allocate(4).putInt(value).array(); }

    static byte[] random(int length) {
        byte[] out = new byte[length];
        RANDOM.nextBytes(out);
        return out;
    }

    static byte[] utf8(String text) { return text.getBytes(UTF_8); }

    static String b64u(byte[] raw) { return Base64.getUrlEncoder().withoutPadding().encodeToString(raw); }

    static byte[] unb64u(String text) {
        byte[] raw = Base64.getUrlDecoder().decode(text);
        check(b64u(raw).equals(text), "not canonical base64url");
        return raw;
    }

    static void check(boolean right, String why) { if (!right) throw new IllegalArgumentException(why); }

    static Map<String, Object> json(byte[] raw) { return object(parse(new String(raw, UTF_8))); }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(Object value) { return (Map<String, Object>) value; }

    static Map<String, Object> members(Object... pairs) {
        var out = new LinkedHashMap<String, Object>();
        for (int i = 0; i < pairs.length; i += 2) out.put((String) pairs[i], pairs[i + 1]);
        return out;
    }

    // As little JSON as is needed here: commas and colons are passed over; a real client takes a library

    static final Pattern TOKEN = Pattern.compile("\"(?:[^\"\\\\]++|\\\\.)*+\"|[{}\\[\\]]|[^\\s{}\\[\\],:\"]+");
    static final Pattern ESCAPE = Pattern.compile("\\\\(?:u(....)|.)");

    static Object parse(String text) {
        return value(new ArrayDeque<>(TOKEN.matcher(text).results().map(MatchResult::group).toList()));
    }

    static Object value(Deque<String> tokens) {
        String token = tokens.pop();
        if (token.startsWith("\"")) return string(token);
        if (!token.equals("{") && !token.equals("[")) return token.equals("null") ? null : new BigDecimal(token);
        var elements = new ArrayList<Object>();
        while (!"]}".contains(tokens.peek())) elements.add(value(tokens));
        tokens.pop();
        return token.equals("{") ? members(elements.toArray()) : elements;
    }

    static String string(String token) {
        return ESCAPE.matcher(token.substring(1, token.length() - 1)).replaceAll(escape -> {
            String hex = escape.group(1), plain = escape.group().replace("\\/", "/");
            if (hex != null) plain = Character.toString(Integer.parseInt(hex, 16));
            return Matcher.quoteReplacement(hex == null ? plain.translateEscapes() : plain);
        });
    }

    static String text(Object value) {
        if (value instanceof Map<?, ?> map)
            return map.entrySet().stream().map(entry -> text(entry.getKey()) + ":" + text(entry.getValue()))
                    .collect(Collectors.joining(",", "{", "}"));
        if (value instanceof List<?> list)
            return list.stream().map(LotClient::text).collect(Collectors.joining(",", "[", "]"));
        if (!(value instanceof String string)) return String.valueOf(value);
        return '"' + string.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + '"';
    }
}
