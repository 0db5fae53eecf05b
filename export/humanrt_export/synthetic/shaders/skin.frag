#version 330
in vec3 at; in vec3 facing; in vec3 rest_at; in vec4 on_finger; in float palmar; in vec4 in_shadow;
uniform sampler2DShadow shadow_map;
uniform vec3 skin; uniform vec3 key; uniform vec3 key_radiance; uniform vec3 fill_above; uniform vec3 fill_below;
uniform bool cloth; uniform int capsules; uniform float texel;
uniform vec4 capsule_a[CAPSULES]; uniform vec3 capsule_b[CAPSULES];
uniform vec3 seed;
out vec4 colour;

float hash(vec3 p) { p = fract(p * 0.3183099 + 0.1); p *= 17.0; return fract(p.x * p.y * p.z * (p.x + p.y + p.z)); }
float noise(vec3 x) {
    vec3 i = floor(x), f = fract(x); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1,0,0)), f.x), mix(hash(i + vec3(0,1,0)), hash(i + vec3(1,1,0)), f.x), f.y),
               mix(mix(hash(i + vec3(0,0,1)), hash(i + vec3(1,0,1)), f.x), mix(hash(i + vec3(0,1,1)), hash(i + vec3(1,1,1)), f.x), f.y), f.z) - 0.5;
}
float band(float x, float centre, float width) { float d = (x - centre) / width; return exp(-d * d); }

// Lines across the joints: one or two deep ones in the palm, several fine ones on the knuckles.
float creases(float along, float palm_side, float wobble) {
    float s = along + wobble, inside = 0.0, outside = 0.0;
    for (int joint = 1; joint <= 2; ++joint) {
        float j = float(joint);
        inside += band(s, j - 0.03, 0.035) + (joint == 1 ? band(s, j + 0.09, 0.03) : 0.0);
        outside += 0.7 * (band(s, j - 0.13, 0.035) + band(s, j - 0.03, 0.03) + band(s, j + 0.06, 0.03) + band(s, j + 0.15, 0.035));
    }
    return mix(outside, inside, palm_side);
}
// How much a capsule hides of the light from around (after I. Quilez).
float hidden(vec3 p, vec3 n, vec3 a, vec3 b, float r) {
    vec3 ba = b - a, pa = p - a;
    float h = clamp(dot(pa, ba) / dot(ba, ba), 0.0, 1.0);
    vec3 d = pa - h * ba; float l = length(d);
    float facing_it = max(0.0, dot(-d, n) / l);
    return facing_it * min(1.0, r * r / (l * l));
}
void main() {
    vec3 n = normalize(facing);
    bool inside = !gl_FrontFacing;
    if (inside) n = -n;
    vec3 v = normalize(-at);
    vec3 p = rest_at * 1000.0 + seed;              // millimetres, travelling with the skin
    vec3 albedo = skin; float gloss = 0.24, roughness = 0.46;

    if (cloth) {
        float weave = noise(p * 1.3) * 0.25 + noise(p * vec3(0.18, 0.6, 0.18)) * 0.3;
        albedo *= 1.0 + weave; gloss = 0.03; roughness = 0.9;
        n = normalize(n + 0.16 * vec3(noise(p * 0.13), noise(p * 0.13 + 31.0), noise(p * 0.13 + 57.0)) + 0.10 * weave);
    } else {
        float blotch = noise(p * 0.06) + 0.5 * noise(p * 0.17) + 0.25 * noise(p * 0.6);
        // The palm is paler and pinker than the back, more so on darker skin.
        vec3 palm_skin = mix(skin * vec3(1.10, 0.98, 0.98), vec3(0.58, 0.33, 0.25), 0.38);
        albedo = mix(skin, palm_skin, palmar);
        gloss *= 1.0 - 0.4 * palmar;
        albedo *= 1.0 + blotch * vec3(0.10, 0.16, 0.17);
        bool finger = on_finger.w > 0.5;
        float along = on_finger.x, sideways = on_finger.y, back = on_finger.z;
        float line = 0.0;
        if (finger && along > 0.25) {
            line = creases(along, palmar, 0.05 * noise(p * 0.35)) * (0.75 + 0.5 * noise(p * 0.5));
            float knuckle = (band(along, 1.0, 0.22) + 0.7 * band(along, 2.0, 0.16) + 0.5 * band(along, 0.0, 0.25));
            albedo *= mix(vec3(1.0), vec3(1.0, 0.86, 0.84), clamp(knuckle * (1.0 - palmar) + 0.5 * knuckle * palmar, 0.0, 1.0));
            albedo *= mix(vec3(1.0), vec3(1.06, 0.86, 0.84), smoothstep(2.3, 2.9, along) * 0.8);   // fingertips redder
            // Nail: a rounded plate on the back of the fingertip.
            float u = (along - 2.66) / 0.27, w = sideways / 0.72;
            float plate = pow(abs(u), 3.0) + pow(abs(w), 3.0);
            float nail = (1.0 - smoothstep(0.80, 1.0, plate)) * smoothstep(0.25, 0.5, back);
            float rim = band(plate, 1.05, 0.16) * smoothstep(0.2, 0.5, back);
            float tip_edge = smoothstep(0.62, 0.85, u), moon = 1.0 - smoothstep(-0.9, -0.55, u);
            vec3 nail_colour = mix(mix(albedo, vec3(0.72, 0.46, 0.40), 0.55), vec3(0.78, 0.68, 0.60), 0.75 * tip_edge + 0.25 * moon);
            albedo = mix(albedo, nail_colour, nail) * (1.0 - 0.25 * rim * (1.0 - nail));
            gloss = mix(gloss, 0.6, nail); roughness = mix(roughness, 0.25, nail);
            line *= 1.0 - nail;
        } else {
            // The lines of the palm, in the hand's own plane (mm): heart, head, life; and the wrist's.
            vec2 h = rest_at.xy * 1000.0 + 2.0 * vec2(noise(p * 0.08), noise(p * 0.08 + 11.0));
            float heart = band(h.y, 88.0 + 0.010 * (h.x + 12.0) * (h.x + 12.0) * 0.6, 1.1) * smoothstep(24.0, 12.0, h.x);
            float head = band(h.y, 72.0 + 0.35 * h.x - 0.002 * h.x * h.x, 1.1) * smoothstep(-36.0, -20.0, h.x);
            float radius = length(h - vec2(34.0, 42.0));
            float life = band(radius, 34.0, 1.2) * smoothstep(34.0, 18.0, h.x) * step(h.y, 80.0);
            float wrist = 0.8 * band(h.y, 12.0, 1.1) + 0.5 * band(h.y, 7.0, 1.0);
            line = smoothstep(0.5, 0.9, palmar) * (heart + head + life + wrist) * 0.8;
        }
        albedo *= mix(vec3(1.0), vec3(0.74, 0.60, 0.58), clamp(line, 0.0, 1.0));
        // Fine relief tilts the normal.
        float e = 0.35; vec3 q = p * 1.1;
        float here = noise(q) - 0.8 * line * 0.3;
        vec3 slope = vec3(noise(q + vec3(e,0,0)), noise(q + vec3(0,e,0)), noise(q + vec3(0,0,e))) - noise(q);
        n = normalize(n - 0.16 * slope * (gloss > 0.4 ? 0.2 : 1.0));
    }

    // Main light, its shadow softened over 9 taps.
    float lit = 0.0;
    vec3 s = in_shadow.xyz * 0.5 + 0.5;
    for (int i = 0; i < 9; ++i) {
        vec2 o = (vec2(float(i % 3), float(i / 3)) - 1.0) * texel * 2.4;
        lit += texture(shadow_map, vec3(s.xy + o, min(s.z, 0.999) - 0.004)) / 9.0;
    }
    vec2 outside = abs(s.xy - 0.5);
    lit = mix(lit, 1.0, smoothstep(0.45, 0.49, max(outside.x, outside.y)));  // the map covers the hands only
    float cosine = dot(n, key);
    vec3 wrap = cloth ? vec3(0.05) : vec3(0.38, 0.16, 0.11);
    vec3 diffuse = max((cosine + wrap) / (1.0 + wrap), 0.0); diffuse *= diffuse / max(diffuse, 0.35) * 0.35 + 0.65 ;
    vec3 bleed = cloth ? vec3(lit) : pow(vec3(lit), vec3(0.62, 0.95, 1.05));

    float open = 1.0;
    for (int i = 0; i < capsules; ++i)
        open *= 1.0 - 0.85 * hidden(at + n * 0.0015, n, capsule_a[i].xyz, capsule_b[i], capsule_a[i].w);
    vec3 ambient = mix(fill_below, fill_above, 0.5 - 0.5 * n.y);
    // Light that reaches a fold has bounced off skin: it is redder.
    vec3 occlusion = cloth ? vec3(open) : pow(vec3(open), vec3(0.75, 1.0, 1.08));
    if (inside) { occlusion *= 0.25; bleed *= 0.1; }

    vec3 half_way = normalize(key + v);
    float a2 = roughness * roughness; a2 *= a2;
    float nh = max(dot(n, half_way), 0.0), d = nh * nh * (a2 - 1.0) + 1.0;
    float fresnel = 0.04 + 0.96 * pow(1.0 - max(dot(v, half_way), 0.0), 5.0);
    float edge = pow(1.0 - max(dot(n, v), 0.0), 4.0);
    vec3 highlight = key_radiance * lit * max(cosine, 0.0) * fresnel * a2 / (d * d) * gloss
                   + fill_above * open * edge * (cloth ? 0.05 : 0.22);
    vec3 radiance = albedo * (key_radiance * diffuse * bleed + ambient * occlusion) + highlight;
    colour = vec4(radiance, 1.0);
}
