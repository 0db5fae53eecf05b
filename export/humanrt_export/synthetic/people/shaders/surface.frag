#version 330
uniform int kind;          // 0 somebody, 1 a thing with a texture, 2 ground of a photograph: shadow alone
uniform vec3 up;           // the world's vertical
uniform vec3 key;
uniform vec3 key_radiance;
uniform vec3 fill_above;
uniform vec3 fill_below;
uniform bool surrounded;   // the ambient light is that of an environment
uniform vec3 ambient[9];   // spherical harmonics of normals
uniform sampler2DShadow shadow_map;
uniform float texel;
uniform float darkness;    // of shadows
uniform sampler2D paint;
uniform vec3 tint;
uniform vec3 seed;
uniform ivec2 pattern;     // of shirt and trousers: 0 plain, 1 stripes, 2 checks, 3 dots, 4 blotches, 5 texture
uniform vec3 second[2];
uniform vec3 frame[2];     // how many a metre, slant, share
uniform float rough;       // depth of folds and bumps, m
uniform float glow;        // share of light of its own
uniform float shine;
in vec3 at;
in vec3 across;
in vec3 place;
in vec3 colour;
in vec2 worn;
in vec3 shaded;
out vec4 shown;

// Nearly sin(x), of parabolas: sines of every pixel take long on a CPU.
float wave(float x) {
    x = 2.0 * fract(0.15915494 * x) - 1.0;
    return 4.0 * x * (abs(x) - 1.0);
}

float waves(vec3 p) {
    p += seed;
    return wave(p.x + 2.0 * wave(0.7 * p.y)) * wave(1.1 * p.y + 2.0 * wave(0.8 * p.z)) * wave(0.9 * p.z + 2.0 * wave(0.9 * p.x));
}

// Of textures, with a gamma of 2.
vec3 linear(vec3 painted) {
    return painted * painted;
}

float covered(int which, vec3 p, vec3 f) {
    vec2 q = f.x * vec2(p.x + 0.4 * p.y, p.z);
    q = mat2(cos(f.y), sin(f.y), -sin(f.y), cos(f.y)) * q;
    if (which == 1) return step(fract(q.y), f.z);
    if (which == 2) return 0.5 * (step(fract(q.x), f.z) + step(fract(q.y), f.z));
    if (which == 3) return step(length(fract(q) - 0.5), 0.5 * f.z);
    if (which == 4) return step(1.0 - f.z, 0.5 + 0.5 * waves(2.0 * f.x * p));
    return 0.0;
}

vec3 dressed(int garment, vec3 base) {
    if (pattern[garment] == 0) return base;
    if (pattern[garment] == 5) {
        vec3 print = linear(texture(paint, 0.12 * frame[garment].x * place.xz + seed.xy).rgb);
        return mix(base, print, 0.85);
    }
    return mix(base, second[garment], covered(pattern[garment], place, frame[garment]));
}

// Bumps of a height that is known only as a value per pixel (after Mikkelsen, 2010).
vec3 bumped(vec3 n, float height) {
    vec3 dx = dFdx(at), dy = dFdy(at);
    vec3 a = cross(dy, n), b = cross(n, dx);
    float det = dot(dx, a);
    vec3 slope = sign(det) * (dFdx(height) * a + dFdy(height) * b);
    float size = length(slope);
    slope *= min(1.0, 0.8 * abs(det) / max(size, 1e-9)); // pixels coarser than the bumps
    return normalize(abs(det) * n - slope);
}

vec3 around(vec3 n) {
    return 0.282095 * ambient[0] + 0.488603 * (n.y * ambient[1] + n.z * ambient[2] + n.x * ambient[3])
        + 1.092548 * (n.x * n.y * ambient[4] + n.y * n.z * ambient[5] + n.x * n.z * ambient[7])
        + 0.315392 * (3.0 * n.z * n.z - 1.0) * ambient[6] + 0.546274 * (n.x * n.x - n.y * n.y) * ambient[8];
}

float lit() {
    if (any(lessThan(shaded, vec3(0.0))) || any(greaterThan(shaded, vec3(1.0)))) return 1.0; // off the map
    float sum = 0.0;
    for (int x = -1; x <= 1; x += 2)
        sum += texture(shadow_map, vec3(shaded.xy + texel * vec2(x, 0.6 * x), shaded.z - 0.006));
    return mix(1.0, 0.5 * sum, darkness);
}

void main() {
    float open = lit();
    if (kind == 2) {
        shown = vec4(0.0, 0.0, 0.0, 0.65 * (1.0 - open) * exp(-0.02 * dot(at, at)));
        return;
    }
    vec3 n = normalize(across);
    vec3 base = colour, ray = normalize(at);
    if (dot(n, ray) > 0.0) n = -n;
    float cloth = kind == 0 ? worn.x + worn.y : 0.0;
    if (kind == 1) {
        base = tint * linear(texture(paint, place.xy).rgb);
    } else {
        if (worn.x > 0.5) base = dressed(0, base);
        else if (worn.y > 0.5) base = dressed(1, base);
        base *= 1.0 + 0.12 * waves(90.0 * place) + 0.08 * waves(17.0 * place);
        n = bumped(n, rough * cloth * (waves(28.0 * place) + 0.5 * waves(61.0 * place)));
    }
    float cosine = dot(n, key);
    float soft = mix(0.25, 0.05, cloth); // light bleeds through skin
    vec3 light = key_radiance * max(0.0, (cosine + soft) / (1.0 + soft)) * open;
    if (surrounded) light += max(vec3(0.0), around(n));
    else light += mix(fill_below, fill_above, 0.5 + 0.5 * dot(n, up));
    float facing = clamp(-dot(n, ray), 0.0, 1.0);
    if (kind == 0) light *= mix(0.6, 1.0, smoothstep(0.0, 0.6, facing));
    float glint = max(0.0, dot(n, normalize(key - ray)));
    glint *= glint * glint;
    glint *= glint * glint; // to the power of 9
    glint *= glint * shine * mix(1.0, 0.25, cloth);
    shown = vec4(mix(base * light + glint * open * key_radiance, base * (0.75 + 0.25 * facing), glow), 1.0);
}
