#version 330
uniform float number;
in float depth;
out vec2 shown;
void main() {
    shown = vec2(number, depth);
}
