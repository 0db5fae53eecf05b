"""ros2 launch humanrt_ros hands.launch.py robot:=allegro_right source:=0 command:=/hand_controller/joint_trajectory"""

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

ARGUMENTS = {
    "robot": ("allegro_right", "robot hand: a name, or the path of its description"),
    "source": ("0", "camera index, stream URL or file; empty: the topic image_raw, with camera_info"),
    "command": ("/hand_controller/joint_trajectory", "topic of the controller's joint trajectory"),
    "max_speed": ("2.0", "rad/s"),
    "on_lost": ("hold", "hold or open"),
    "deadman_timeout": ("0.5", "seconds after which ~/enable must have come again; 0: no dead man's switch"),
}


def generate_launch_description() -> LaunchDescription:
    """Start the node, with its commands sent to the hand's controller."""
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    own = {name: given[name] for name in ("max_speed", "on_lost", "deadman_timeout")}
    own["source"] = ParameterValue(given["source"], value_type=str)  # otherwise read as YAML: 0 a number, nothing null
    # A robot given by the path of a description is named by the file; its topic then has to be remapped by hand.
    topic = ["~/", given["robot"], "/command"]
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=value, description=text)
                for name, (value, text) in ARGUMENTS.items()
            ),
            Node(
                package="humanrt_ros",
                executable="humanrt",
                name="humanrt",
                output="screen",
                parameters=[{**own, "robots": PythonExpression(["['", given["robot"], "']"])}],
                remappings=[(topic, given["command"])],
            ),
        ]
    )
